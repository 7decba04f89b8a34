//! The colours of a flame graph: one for each of the heaviest modules, grey for the rest and for what has none.
//!
//! Pale, so that black text on any of them has a contrast above 7 to 1, and chosen to differ in lightness as well as in
//! hue for those who tell few hues apart.

use std::collections::HashMap;

use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};

/// Behind everything.
pub const BACKGROUND: BackgroundColor = BackgroundColor::Flat(Color { r: 250, g: 250, b: 250 });

/// Of modules, the heaviest first.
const MODULES: [(u8, u8, u8); 8] = [
    (155, 196, 226),
    (246, 190, 152),
    (168, 214, 170),
    (213, 184, 224),
    (240, 214, 140),
    (150, 214, 208),
    (240, 176, 190),
    (198, 204, 150),
];

/// Of all others.
const REST: (u8, u8, u8) = (208, 208, 208);

/// A colour for each name, by its module. `named` has names with their modules and bytes.
pub fn by_module(named: &[(String, Option<String>, u64)]) -> PaletteMap {
    let mut weights: HashMap<&str, u64> = HashMap::new();
    for (_, module, bytes) in named {
        if let Some(module) = module {
            let weight = weights.entry(module).or_default();
            *weight = weight.saturating_add(*bytes);
        }
    }
    let mut modules: Vec<(&str, u64)> = weights.into_iter().collect();
    modules.sort_unstable_by(|(a, heavy_a), (b, heavy_b)| heavy_b.cmp(heavy_a).then(a.cmp(b)));
    let colour = |module: &Option<String>| {
        let place = modules.iter().position(|(name, _)| Some(*name) == module.as_deref());
        let (r, g, b) = place.and_then(|place| MODULES.get(place)).copied().unwrap_or(REST);
        Color { r, g, b }
    };
    let mut palette = PaletteMap::default();
    palette.insert("", Color { r: 226, g: 226, b: 226 });
    for (name, module, _) in named {
        if palette.get(name).is_none() {
            palette.insert(name, colour(module));
        }
    }
    palette
}
