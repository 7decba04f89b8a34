//! Something for each process, by its slot: slots are small numbers, and this is asked for with every record.

/// A value for some slots.
#[derive(Clone, Debug)]
pub struct BySlot<T>(Vec<Option<Box<T>>>);

impl<T> Default for BySlot<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> BySlot<T> {
    /// The value for this slot, made if need be.
    #[inline]
    pub fn or_default(&mut self, slot: u16) -> &mut T {
        let slot = usize::from(slot);
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, || None);
        }
        self.0[slot].get_or_insert_default()
    }

    /// The value for this slot.
    pub fn get(&self, slot: u16) -> Option<&T> {
        self.0.get(usize::from(slot))?.as_deref()
    }

    /// The value for this slot, to be changed.
    pub fn get_mut(&mut self, slot: u16) -> Option<&mut T> {
        self.0.get_mut(usize::from(slot))?.as_deref_mut()
    }

    /// Drops the value for this slot.
    pub fn remove(&mut self, slot: u16) {
        if let Some(value) = self.0.get_mut(usize::from(slot)) {
            *value = None;
        }
    }

    /// All values, by their slots.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(Option::as_deref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_with_its_slot_until_it_is_removed() {
        let mut values = BySlot::<u32>::default();
        *values.or_default(3) = 7;
        *values.or_default(1) += 1;
        assert_eq!(values.iter().collect::<Vec<_>>(), [&1, &7]);
        values.remove(3);
        values.remove(9);
        assert_eq!((values.get(3), values.get(1), values.get(40)), (None, Some(&1), None));
        assert_eq!(values.get_mut(1).copied(), Some(1));
    }
}
