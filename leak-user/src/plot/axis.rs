//! Where an axis has its ticks, and what they are called.

/// Ticks of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Where the axis begins and ends.
    pub range: (f64, f64),
    /// Places and names, ascending.
    pub ticks: Vec<(f64, String)>,
    /// What is counted; empty where the names of ticks say it.
    pub unit: &'static str,
}

/// Ticks that an axis has at most, about.
const MOST_TICKS: f64 = 6.0;

/// An axis of bytes from 0, with its end on a tick.
pub fn bytes(most: f64) -> Axis {
    let (mut size, mut unit) = (1.0, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if most < size * 1024.0 {
            break;
        }
        size *= 1024.0;
        unit = larger;
    }
    let least = if unit == "B" { 1.0 } else { 0.1 };
    let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
        .into_iter()
        .find(|step| *step >= least && *step * MOST_TICKS >= most / size)
        .unwrap_or(5000.0);
    let steps = (most / size / step).ceil().max(1.0) as u32;
    let name = |value: f64| match value {
        0.0 => "0".to_owned(),
        value if step < 1.0 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    };
    let ticks = (0..=steps).map(|n| f64::from(n) * step);
    Axis {
        range: (0.0, f64::from(steps) * step * size),
        ticks: ticks.map(|tick| (tick * size, name(tick))).collect(),
        unit: "",
    }
}

/// An axis of time from one second to another; what counts is in `unit`.
pub fn time(start_s: f64, end_s: f64) -> Axis {
    // An axis needs some length.
    let end_s = if end_s - start_s < 0.1 { start_s + 0.1 } else { end_s };
    let span = end_s - start_s;
    let (size, unit, steps): (f64, _, &[f64]) = match span {
        ..=180.0 => (1.0, "seconds", &[0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0]),
        ..=10_800.0 => (60.0, "minutes", &[0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0]),
        ..=259_200.0 => (3600.0, "hours", &[0.5, 1.0, 2.0, 3.0, 6.0, 12.0]),
        _ => (86_400.0, "days", &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
    };
    let fits = |step: &f64| step * size * (MOST_TICKS + 2.0) >= span;
    let step = steps.iter().copied().find(fits).unwrap_or_else(|| span / size / MOST_TICKS);
    let first = (start_s / size / step - 1e-6).ceil();
    let decimals = [1.0, 0.1].into_iter().position(|whole| step >= whole).unwrap_or(2);
    let ticks = (0..100).map(|n| (first + f64::from(n)) * step).take_while(|tick| tick * size <= end_s + span * 1e-6);
    Axis {
        range: (start_s, end_s),
        ticks: ticks.map(|tick| (tick * size, format!("{tick:.decimals$}"))).collect(),
        unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, name)| name.as_str()).collect()
    }

    #[test]
    fn bytes_have_round_ticks_in_one_unit() {
        assert_eq!(names(&bytes(174.0 * 1_048_576.0)), ["0", "50 MiB", "100 MiB", "150 MiB", "200 MiB"]);
        assert_eq!(names(&bytes(1500.0)), ["0", "0.5 KiB", "1.0 KiB", "1.5 KiB"]);
        assert_eq!(names(&bytes(3.0)), ["0", "1 B", "2 B", "3 B"]);
        assert_eq!(names(&bytes(0.0)), ["0", "1 B"]);
        assert_eq!(names(&bytes(1023.0 * 1024.0)).last(), Some(&"1200 KiB"));
    }

    #[test]
    fn time_is_counted_in_what_people_count_it_in() {
        assert_eq!(names(&time(0.0, 1800.0)), ["0", "5", "10", "15", "20", "25", "30"]);
        assert_eq!(
            (time(0.0, 1800.0).unit, time(0.0, 20.0).unit, time(0.0, 86_400.0).unit),
            ("minutes", "seconds", "hours")
        );
        assert_eq!(names(&time(61.0, 300.0)), ["1.5", "2.0", "2.5", "3.0", "3.5", "4.0", "4.5", "5.0"]);
        assert_eq!(names(&time(0.0, 0.4)), ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25", "0.30", "0.35", "0.40"]);
    }

    #[test]
    fn any_axis_has_a_length_and_a_few_ticks() {
        for power in 0..64 {
            let axis = bytes(2_f64.powi(power) - 1.0);
            assert!((2..=8).contains(&axis.ticks.len()) && axis.range.1 >= 2_f64.powi(power) - 1.0, "{axis:?}");
            let axis = time(77.7, 77.7 + 2_f64.powi(power - 32));
            assert!((2..=12).contains(&axis.ticks.len()) && axis.range.1 > axis.range.0, "{axis:?}");
        }
    }
}
