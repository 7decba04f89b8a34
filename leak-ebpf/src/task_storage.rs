//! `BPF_MAP_TYPE_TASK_STORAGE`: a value per thread, which `aya-ebpf` 0.2 does not offer.
//!
//! Only the running thread reaches its own value here, so programs need no lock, no hash, and no guard against being
//! preempted or moved to another processor in the middle: the scratch moves with the thread.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE, bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE},
    helpers::generated::{bpf_get_current_task_btf, bpf_task_storage_get},
};

/// One `T` for each thread, zeroed when first asked for, freed by the kernel with the thread.
///
/// The fields are how a BTF map definition is spelt; the loader reads their types and nothing reads their values.
#[repr(C)]
pub struct TaskStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the fields are never read; access goes through the helper, which gives each thread its own value.
unsafe impl<T> Sync for TaskStorage<T> {}

impl<T> TaskStorage<T> {
    pub const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }

    /// The running thread's value, if it has one.
    #[inline(always)]
    pub fn get(&self) -> Option<&'static mut T> {
        self.lookup(0)
    }

    /// The running thread's value, made if need be. `None` when the kernel has no memory for it at this moment.
    #[inline(always)]
    pub fn get_or_create(&self) -> Option<&'static mut T> {
        self.lookup(u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE))
    }

    #[inline(always)]
    fn lookup(&self, flags: u64) -> Option<&'static mut T> {
        // SAFETY: the helper returns null or this thread's value, which outlives the program; a program does not
        // interrupt itself, so no second reference exists while this one does.
        unsafe {
            let task = bpf_get_current_task_btf();
            let map: *mut c_void = ptr::from_ref(self).cast_mut().cast();
            bpf_task_storage_get(map, task.cast(), ptr::null_mut(), flags).cast::<T>().as_mut()
        }
    }
}
