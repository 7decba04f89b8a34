//! `/tmp/perf-PID.map`, in which runtimes that compile as they run tell what they compiled where.
//!
//! A line is `START SIZE NAME`, both numbers hexadecimal. The program writes them as it likes: what is no such line is
//! passed over, of two that overlap the later one holds, and there is an end to how many are kept.

use std::collections::BTreeMap;

/// Most functions that are remembered. What comes behind them is not.
pub const MAX_FUNCTIONS: usize = 1 << 20;

/// Longest name that is kept, in bytes.
pub const MAX_NAME: usize = 4096;

/// Functions by their addresses.
#[derive(Debug, Default)]
pub struct PerfMap {
    /// By the first address, none overlapping another.
    functions: BTreeMap<u64, Function>,
}

#[derive(Clone, Debug)]
struct Function {
    /// The first address behind it.
    end: u64,
    name: std::rc::Rc<str>,
}

impl PerfMap {
    /// Takes in some lines. Gives how many bytes of the text they are: a last line without its end is left for later.
    pub fn extend(&mut self, text: &[u8]) -> usize {
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        for (start, end, name) in lines.filter_map(parse) {
            if self.functions.len() < MAX_FUNCTIONS {
                self.insert(start, end, name);
            }
        }
        whole
    }

    /// The function that an address is in.
    pub fn find(&self, address: u64) -> Option<&str> {
        let (_, function) = self.functions.range(..=address).next_back()?;
        (address < function.end).then_some(&*function.name)
    }

    /// How many functions there are, the pieces counted of those that others were put into.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    fn insert(&mut self, start: u64, end: u64, name: &str) {
        // What began before keeps its ends that stick out.
        if let Some((_, before)) = self.functions.range_mut(..start).next_back()
            && before.end > start
        {
            let rest = before.clone();
            before.end = start;
            if rest.end > end {
                self.functions.insert(end, rest);
            }
        }
        while let Some((&covered, function)) = self.functions.range(start..end).next() {
            let rest = function.clone();
            self.functions.remove(&covered);
            if rest.end > end {
                self.functions.insert(end, rest);
            }
        }
        self.functions.insert(start, Function { end, name: name.into() });
    }
}

fn parse(line: &[u8]) -> Option<(u64, u64, &str)> {
    let mut fields = line.splitn(3, |byte| *byte == b' ');
    let (start, size) = (number(fields.next()?)?, number(fields.next()?)?);
    let name = fields.next()?.trim_ascii();
    let name = std::str::from_utf8(name.get(..name.len().min(MAX_NAME))?).ok().filter(|name| !name.is_empty())?;
    Some((start, start.checked_add(size).filter(|end| *end > start)?, name))
}

/// A hexadecimal number, with 0x or without.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.strip_prefix(b"0x").or_else(|| digits.strip_prefix(b"0X")).unwrap_or(digits);
    if !digits.first()?.is_ascii_hexdigit() {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> PerfMap {
        let mut map = PerfMap::default();
        assert_eq!(map.extend(text.as_bytes()), text.len());
        map
    }

    #[test]
    fn an_address_has_the_name_of_the_function_it_is_in() {
        let map = map("1000 10 one\n0x2000 0x10 LazyCompile:~two words /app/x.js:1\n");
        assert_eq!(map.find(0xfff), None);
        assert_eq!(map.find(0x1000), Some("one"));
        assert_eq!(map.find(0x100f), Some("one"));
        assert_eq!(map.find(0x1010), None);
        assert_eq!(map.find(0x2008), Some("LazyCompile:~two words /app/x.js:1"));
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let text = "\nx\n1000\n1000 10\n1000 10 \nzz 10 a\n+1000 10 a\n1000 0 a\nffffffffffffffff 10 a\n\
                    11111111111111111 1 a\n3000 8 good\r\n";
        let map = map(text);
        assert_eq!((map.len(), map.find(0x3000)), (1, Some("good")));
        let mut map = PerfMap::default();
        map.extend(b"1000 10 \xff\xfe\n2000 10 ok\n");
        assert_eq!((map.len(), map.find(0x2000)), (1, Some("ok")));
    }

    #[test]
    fn a_later_function_takes_the_place_of_earlier_ones() {
        let all = map("1000 100 a\n1100 100 b\n1200 100 c\n10f0 200 new\n");
        let names = [0x10ef, 0x10f0, 0x1180, 0x12ef, 0x12f0].map(|address| all.find(address));
        assert_eq!(names, [Some("a"), Some("new"), Some("new"), Some("new"), Some("c")]);
        let inside = map("1000 100 a\n1040 10 b\n");
        let names = [0x103f, 0x1040, 0x104f, 0x1050, 0x10ff, 0x1100].map(|address| inside.find(address));
        assert_eq!(names, [Some("a"), Some("b"), Some("b"), Some("a"), Some("a"), None]);
        let same = map("1000 100 a\n1000 10 b\n");
        assert_eq!((same.find(0x1000), same.find(0x1010)), (Some("b"), Some("a")));
    }

    #[test]
    fn a_line_without_its_end_waits_for_it() {
        let mut map = PerfMap::default();
        assert_eq!(map.extend(b"1000 10 one\n2000 10 tw"), 12);
        assert_eq!(map.find(0x2000), None);
        assert_eq!(map.extend(b"2000 10 two\n"), 12);
        assert_eq!(map.find(0x2000), Some("two"));
    }
}
