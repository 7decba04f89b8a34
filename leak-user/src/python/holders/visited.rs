//! Which objects a walk has come to: a table of places in a list of addresses, four bytes each.

/// A place that is free.
const FREE: u32 = u32::MAX;

/// Finds places by address. Addresses themselves are kept elsewhere.
#[derive(Debug)]
pub struct Visited {
    places: Vec<u32>,
    count: usize,
}

impl Visited {
    /// Of nothing.
    pub fn new() -> Self {
        Self { places: vec![FREE; 1 << 10], count: 0 }
    }

    /// The place of an address, if it has one. `address_of` gives the address at a place.
    pub fn find(&self, address: u64, address_of: impl Fn(u32) -> u64) -> Option<u32> {
        let mut at = self.first(address);
        loop {
            match self.places[at] {
                FREE => return None,
                place if address_of(place) == address => return Some(place),
                _ => at = (at + 1) & (self.places.len() - 1),
            }
        }
    }

    /// Notes the place of an address that has none yet.
    pub fn add(&mut self, address: u64, place: u32, address_of: impl Fn(u32) -> u64) {
        if (self.count + 1) * 4 > self.places.len() * 3 {
            let larger = vec![FREE; self.places.len() * 2];
            for old in std::mem::replace(&mut self.places, larger).into_iter().filter(|place| *place != FREE) {
                self.put(address_of(old), old);
            }
        }
        self.put(address, place);
        self.count += 1;
    }

    fn put(&mut self, address: u64, place: u32) {
        let mut at = self.first(address);
        while self.places[at] != FREE {
            at = (at + 1) & (self.places.len() - 1);
        }
        self.places[at] = place;
    }

    fn first(&self, address: u64) -> usize {
        let mixed = address.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 20) as usize & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_found_where_it_was_put_and_no_other() {
        let addresses: Vec<u64> = (0..100_000).map(|object| 0x7f00_0000_0000 + object * 48).collect();
        let address_of = |place: u32| addresses[place as usize];
        let mut visited = Visited::new();
        for (place, address) in addresses.iter().enumerate() {
            assert_eq!(visited.find(*address, address_of), None);
            visited.add(*address, place as u32, address_of);
        }
        for (place, address) in addresses.iter().enumerate() {
            assert_eq!(visited.find(*address, address_of), Some(place as u32));
        }
        assert_eq!(visited.find(0x10, address_of), None);
    }
}
