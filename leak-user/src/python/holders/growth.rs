//! What grew between scans: types, and containers.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{Path, Scan, Trend, Trust};
use crate::python::containers::Container;

/// Share of the steps over which a container must have kept its oldest entries to be believed to be the same.
const MIN_KEPT: f64 = 0.5;

/// What grew, each sorted by how much.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Growing {
    /// Types, by the bytes of their objects.
    pub types: Vec<TypeGrowth>,
    /// Containers, by their entries.
    pub containers: Vec<ContainerGrowth>,
}

/// A type of which there are more objects than there were.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeGrowth {
    /// Address of the type.
    pub address: u64,
    /// Its name, module and all. It may hold anything.
    pub name: String,
    /// How the number of its objects went.
    pub objects: Trend,
    /// How their bytes went, those of tables with them.
    pub bytes: Trend,
}

impl TypeGrowth {
    /// How sure it is that it never ends, 0 to 1; nothing where it may well end.
    pub fn leak(&self) -> Option<f64> {
        self.objects.leak(Trust::Sure)
    }
}

/// A container that has more entries than it had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContainerGrowth {
    /// Its address.
    pub address: u64,
    /// Address of its type.
    pub kind: u64,
    /// How the number of its entries went.
    pub entries: Trend,
    /// How the bytes of its table went.
    pub table_bytes: Trend,
    /// Share of the steps between scans over which it surely was the same container, by its oldest entries.
    pub kept: f64,
}

impl ContainerGrowth {
    /// How sure it is that it never ends, 0 to 1, by its numbers alone; nothing where it may well end.
    pub fn leak(&self) -> Option<f64> {
        self.entries.leak(if self.kept >= MIN_KEPT { Trust::Sure } else { Trust::Doubtful })
    }

    /// As [`Self::leak`], by who holds it as well: what is bounded is no leak, and what only a running function has, or
    /// nobody that is known, may be let go of soon.
    pub fn leak_at(&self, path: Option<&Path>) -> Option<f64> {
        match path {
            Some(path) if path.is_bounded() => None,
            Some(path) if !path.is_temporary() => self.leak(),
            _ => self.entries.leak(Trust::Doubtful),
        }
    }
}

/// Compares scans, which are in order. What is not in the last of them did not grow; what came later than the first is
/// compared from then on.
pub fn growth(scans: &[Scan]) -> Growing {
    let Some(last) = scans.last() else { return Growing::default() };
    let mut types = types(scans, last);
    types.retain(|kind| kind.objects.growth() > 0);
    types.sort_by_key(|kind| std::cmp::Reverse((kind.bytes.growth(), kind.objects.growth())));
    let mut containers: Vec<ContainerGrowth> =
        last.containers.iter().map(|container| container_growth(scans, container)).collect();
    containers.retain(|container| container.entries.growth() > 0);
    containers.sort_by_key(|container| std::cmp::Reverse((container.entries.growth(), container.address)));
    Growing { types, containers }
}

/// Seconds, objects and bytes.
type Moment = (f64, u64, u64);

fn types(scans: &[Scan], last: &Scan) -> Vec<TypeGrowth> {
    // By name as well, for a type that is gone may have left its address to another.
    let mut moments: HashMap<(u64, &str), Vec<Moment>, RandomState> = HashMap::default();
    for scan in scans {
        for kind in &scan.types {
            moments.entry((kind.address, &kind.name)).or_default().push((scan.seconds, kind.count, kind.bytes));
        }
    }
    last.types
        .iter()
        .map(|kind| {
            let moments = moments.remove(&(kind.address, kind.name.as_str())).unwrap_or_default();
            let trend = |of: fn(&Moment) -> (f64, u64)| Trend::of(&moments.iter().map(of).collect::<Vec<_>>());
            TypeGrowth {
                address: kind.address,
                name: kind.name.clone(),
                objects: trend(|(seconds, count, _)| (*seconds, *count)),
                bytes: trend(|(seconds, _, bytes)| (*seconds, *bytes)),
            }
        })
        .collect()
}

fn container_growth(scans: &[Scan], last: &Container) -> ContainerGrowth {
    let mut moments: Vec<(f64, &Container)> = scans
        .iter()
        .rev()
        .map_while(|scan| {
            let index = scan.containers.binary_search_by_key(&last.address, |container| container.address).ok()?;
            let container = &scan.containers[index];
            (container.kind == last.kind).then_some((scan.seconds, container))
        })
        .collect();
    moments.reverse();
    let kept = moments.windows(2).filter(|pair| pair[0].1.witnesses.are_kept_by(&pair[1].1.witnesses)).count();
    let trend = |of: fn(&Container) -> u64| {
        Trend::of(&moments.iter().map(|(seconds, container)| (*seconds, of(container))).collect::<Vec<_>>())
    };
    ContainerGrowth {
        address: last.address,
        kind: last.kind,
        entries: trend(|container| container.entries),
        table_bytes: trend(|container| container.table_bytes),
        kept: kept as f64 / moments.len().saturating_sub(1).max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::{containers::Witnesses, holders::TypeCount};

    fn container(address: u64, entries: u64) -> Container {
        Container { address, kind: 7, entries, table_bytes: entries * 8, witnesses: Witnesses::default() }
    }

    fn scans(containers: &[&[Container]]) -> Vec<Scan> {
        let of = |(scan, containers): (usize, &&[Container])| Scan {
            seconds: 10.0 * scan as f64,
            containers: containers.to_vec(),
            types: vec![],
        };
        containers.iter().enumerate().map(of).collect()
    }

    #[test]
    fn containers_are_sorted_by_growth_and_those_that_stand_are_left_out() {
        let growing = growth(&scans(&[
            &[container(1, 100), container(2, 100), container(3, 100)],
            &[container(1, 110), container(2, 100), container(3, 200)],
        ]));
        let found: Vec<(u64, u64)> =
            growing.containers.iter().map(|container| (container.address, container.entries.growth())).collect();
        assert_eq!(found, [(3, 100), (1, 10)]);
    }

    #[test]
    fn one_that_was_gone_in_between_is_told_from_when_it_was_there_again() {
        let growing = growth(&scans(&[&[container(1, 40)], &[], &[container(1, 50)], &[container(1, 60)]]));
        assert_eq!(growing.containers[0].entries.scans, 2);
    }

    #[test]
    fn one_of_another_type_at_the_same_address_is_another() {
        let other = Container { kind: 8, ..container(1, 40) };
        let growing = growth(&scans(&[&[other], &[container(1, 50)], &[container(1, 60)]]));
        assert_eq!(growing.containers[0].entries.scans, 2);
    }

    #[test]
    fn containers_that_take_turns_at_an_address_are_in_doubt() {
        let turn =
            |scan: u64| vec![Container { witnesses: Witnesses::of([scan << 32]), ..container(1, 100 + scan * 50) }];
        let turns: Vec<Vec<Container>> = (0..5).map(turn).collect();
        let turns: Vec<&[Container]> = turns.iter().map(Vec::as_slice).collect();
        let growing = growth(&scans(&turns));
        assert!(growing.containers[0].kept < 0.1);
        assert_eq!(growing.containers[0].leak(), None);
        let same: Vec<Vec<Container>> = (0..5).map(|scan| vec![container(1, 100 + scan * 50)]).collect();
        let same: Vec<&[Container]> = same.iter().map(Vec::as_slice).collect();
        assert!(growth(&scans(&same)).containers[0].leak().is_some());
    }

    #[test]
    fn a_type_that_took_the_address_of_another_is_told_by_its_name() {
        let scan = |seconds, name: &str, count| Scan {
            seconds,
            types: vec![TypeCount { address: 1, name: name.to_owned(), count, bytes: count * 48 }],
            containers: vec![],
        };
        let growing = growth(&[scan(0.0, "app.Old", 5), scan(1.0, "app.New", 10), scan(2.0, "app.New", 30)]);
        assert_eq!(growing.types[0].name, "app.New");
        assert_eq!(growing.types[0].objects.growth(), 20);
        assert_eq!(growing.types[0].bytes.growth(), 960);
    }

    #[test]
    fn without_scans_nothing_grows() {
        assert_eq!(growth(&[]), Growing::default());
    }
}
