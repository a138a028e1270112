//! The themes. `tests` hold them to the contrast that makes text legible, also on 256 colours.

use ratatui::style::{Color, Modifier, Style};

use super::{Name, Theme};

pub(super) const SIXTEEN: Theme = Theme {
    base: Style::new(),
    dim: Style::new().fg(Color::DarkGray),
    title: Style::new().add_modifier(Modifier::BOLD),
    accent: Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD),
    fill: Style::new().fg(Color::Cyan),
    light: Style::new().fg(Color::Blue),
    warning: Style::new().fg(Color::Yellow),
    alarm: Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    selected: Style::new().add_modifier(Modifier::REVERSED),
};

pub(super) const PLAIN: Theme = Theme {
    base: Style::new(),
    dim: Style::new().add_modifier(Modifier::DIM),
    title: Style::new().add_modifier(Modifier::BOLD),
    accent: Style::new().add_modifier(Modifier::BOLD),
    fill: Style::new(),
    light: Style::new().add_modifier(Modifier::DIM),
    warning: Style::new().add_modifier(Modifier::BOLD),
    alarm: Style::new().add_modifier(Modifier::BOLD),
    selected: Style::new()
        .add_modifier(Modifier::REVERSED)
        .remove_modifier(Modifier::DIM),
};

/// The colours of a theme that paints its own ground.
struct Paint {
    ground: u32,
    text: u32,
    dim: u32,
    accent: u32,
    light: u32,
    warning: u32,
    alarm: u32,
    /// Text and ground of the selected line.
    selected: (u32, u32),
}

const DARK: Paint = Paint {
    ground: 0x11_15_1c,
    text: 0xd5_da_e3,
    dim: 0x8b_94_a3,
    accent: 0x56_b6_c2,
    light: 0x61_af_ef,
    warning: 0xe5_c0_7b,
    alarm: 0xff_7b_86,
    selected: (0x11_15_1c, 0x8f_c1_f0),
};

const LIGHT: Paint = Paint {
    ground: 0xfa_fb_fc,
    text: 0x1f_23_28,
    dim: 0x5d_65_70,
    accent: 0x0b_61_70,
    light: 0x1d_5f_c4,
    warning: 0x85_53_00,
    alarm: 0xb3_26_1e,
    selected: (0xff_ff_ff, 0x1f_4e_8c),
};

const HIGH_CONTRAST: Paint = Paint {
    ground: 0x00_00_00,
    text: 0xff_ff_ff,
    dim: 0xbc_bc_bc,
    accent: 0x5f_ff_ff,
    light: 0x9f_c8_ff,
    warning: 0xff_ff_00,
    alarm: 0xff_a0_a0,
    selected: (0x00_00_00, 0xff_ff_ff),
};

/// Blue for what is used, orange and yellow for what is wrong: Okabe and Ito's colours, which are told
/// apart with any kind of colour vision. <https://jfly.uni-koeln.de/color/>
const COLOUR_BLIND: Paint = Paint {
    ground: 0x11_15_1c,
    text: 0xe6_e9_ee,
    dim: 0x8c_92_9c,
    accent: 0x56_b4_e9,
    light: 0xb4_f0_f5,
    warning: 0xe6_9f_00,
    alarm: 0xf0_e4_42,
    selected: (0x11_15_1c, 0x56_b4_e9),
};

const fn theme(paint: &Paint) -> Theme {
    Theme {
        base: Style::new()
            .fg(Color::from_u32(paint.text))
            .bg(Color::from_u32(paint.ground)),
        dim: Style::new().fg(Color::from_u32(paint.dim)),
        title: Style::new()
            .fg(Color::from_u32(paint.text))
            .add_modifier(Modifier::BOLD),
        accent: Style::new()
            .fg(Color::from_u32(paint.accent))
            .add_modifier(Modifier::BOLD),
        fill: Style::new().fg(Color::from_u32(paint.accent)),
        light: Style::new().fg(Color::from_u32(paint.light)),
        warning: Style::new().fg(Color::from_u32(paint.warning)),
        alarm: Style::new()
            .fg(Color::from_u32(paint.alarm))
            .add_modifier(Modifier::BOLD),
        selected: Style::new()
            .fg(Color::from_u32(paint.selected.0))
            .bg(Color::from_u32(paint.selected.1)),
    }
}

pub(super) fn of(name: Name) -> Theme {
    match name {
        Name::Dark => theme(&DARK),
        Name::Light => theme(&LIGHT),
        Name::HighContrast => theme(&HIGH_CONTRAST),
        Name::ColourBlind => theme(&COLOUR_BLIND),
        Name::Sixteen => SIXTEEN,
        Name::Plain => PLAIN,
    }
}

/// The nearest of the 240 colours that are the same on every terminal of 256: a cube and a ramp of grey.
/// The first sixteen are the user's.
pub(super) fn nearest(colour: Color) -> Color {
    let Color::Rgb(red, green, blue) = colour else {
        return colour;
    };
    let distance = |index: &u8| {
        let apart = |(a, b): (u8, u8)| u32::from(a.abs_diff(b)).pow(2);
        let (r, g, b) = indexed(*index);
        [(r, red), (g, green), (b, blue)]
            .map(apart)
            .iter()
            .sum::<u32>()
    };
    (16..=255)
        .min_by_key(distance)
        .map_or(colour, Color::Indexed)
}

/// Red, green and blue of one of the 256 colours from 16 on: six levels each, then grey.
pub(in crate::ui) fn indexed(index: u8) -> (u8, u8, u8) {
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
    if let 232.. = index {
        let grey = 8 + 10 * (index - 232);
        (grey, grey, grey)
    } else {
        let cube = index.saturating_sub(16);
        (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::theme::Depth;

    fn rgb(colour: Option<Color>) -> [f64; 3] {
        let (red, green, blue) = match colour {
            Some(Color::Rgb(red, green, blue)) => (red, green, blue),
            Some(Color::Indexed(index @ 16..)) => indexed(index),
            other => panic!("{other:?} depends on the terminal"),
        };
        [red, green, blue].map(|value| f64::from(value) / 255.0)
    }

    /// <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>
    fn linear(value: f64) -> f64 {
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    }

    fn contrast(text: Option<Color>, ground: Option<Color>) -> f64 {
        let luminance = |colour| {
            let [red, green, blue] = rgb(colour).map(linear);
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let (a, b) = (luminance(text), luminance(ground));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn all_text_is_legible_on_its_ground() {
        assert!(
            (contrast(Some(Color::Rgb(0, 0, 0)), Some(Color::Rgb(255, 255, 255))) - 21.0).abs()
                < 1e-9
        );
        for (name, least) in [
            (Name::Dark, 4.5),
            (Name::Light, 4.5),
            (Name::ColourBlind, 4.5),
            (Name::HighContrast, 7.0),
        ] {
            for depth in [Depth::Millions, Depth::Indexed] {
                let theme = Theme::of(name, depth);
                for (what, style) in theme.styles() {
                    let text = style.fg.or(theme.base.fg);
                    let ground = style.bg.or(theme.base.bg);
                    let contrast = contrast(text, ground);
                    assert!(contrast >= least, "{name} {depth:?} {what}: {contrast:.2}");
                }
                // The selected line stands out from the others, too.
                let line = contrast(theme.selected.bg, theme.base.bg);
                assert!(line >= 3.0, "{name} {depth:?} selected: {line:.2}");
            }
        }
    }

    #[test]
    fn nothing_blinks_and_what_is_wrong_is_told_apart_without_colours() {
        for name in Name::ALL {
            let theme = Theme::of(name, Depth::Millions);
            for (what, style) in theme.styles() {
                let blinks = Modifier::SLOW_BLINK | Modifier::RAPID_BLINK | Modifier::HIDDEN;
                assert!(!style.add_modifier.intersects(blinks), "{name} {what}");
            }
            assert_ne!(theme.selected, Style::new(), "{name}");
        }
    }

    /// What is seen of a colour without one kind of cone, by Machado, Oliveira and Fernandes (2009).
    #[test]
    fn the_safe_palette_is_told_apart_by_all_eyes() {
        const PROTANOPIA: [[f64; 3]; 3] = [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ];
        const DEUTERANOPIA: [[f64; 3]; 3] = [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ];
        const TRITANOPIA: [[f64; 3]; 3] = [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ];
        let seen = |matrix: &[[f64; 3]; 3], colour: Option<Color>| {
            let light = rgb(colour).map(linear);
            matrix.map(|row| {
                let sum: f64 = row.iter().zip(light).map(|(a, b)| a * b).sum();
                sum.clamp(0.0, 1.0).powf(1.0 / 2.2)
            })
        };
        let theme = Theme::of(Name::ColourBlind, Depth::Millions);
        let styles = [
            theme.dim,
            theme.fill,
            theme.light,
            theme.warning,
            theme.alarm,
        ];
        for matrix in [PROTANOPIA, DEUTERANOPIA, TRITANOPIA] {
            for (at, one) in styles.iter().enumerate() {
                for other in &styles[..at] {
                    let (a, b) = (seen(&matrix, one.fg), seen(&matrix, other.fg));
                    let apart: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
                    assert!(
                        apart.sqrt() >= 0.2,
                        "{one:?} {other:?}: {:.2}",
                        apart.sqrt()
                    );
                }
            }
        }
    }

    #[test]
    fn a_terminal_gets_the_colours_that_it_has() {
        assert_eq!(nearest(Color::Rgb(0x5f, 0xff, 0xfe)), Color::Indexed(87));
        assert_eq!(nearest(Color::Rgb(9, 8, 8)), Color::Indexed(232));
        assert_eq!(nearest(Color::Cyan), Color::Cyan);
        assert_eq!(Theme::of(Name::Light, Depth::Sixteen), Theme::COLOURS);
        assert_eq!(Theme::of(Name::Light, Depth::None), Theme::PLAIN);
        assert_eq!(Theme::of(Name::Plain, Depth::Millions), Theme::PLAIN);
    }
}
