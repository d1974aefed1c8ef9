//! Lines over two axes as SVG.
//!
//! Each series has a colour by its position and a name in the key below. Axes end at round numbers; a point may be looked
//! at by its tooltip, which needs no script.

use std::fmt::Write;

use crate::bench::html::escaped;

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Equal steps, from zero.
    Linear,
    /// Equal factors.
    Log,
    /// Equal factors of what is left of a share: 90 %, 99 %, 99.9 %. The value is one over the rest.
    Nines,
}

/// Points under one name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// One plot.
#[derive(Debug)]
pub(crate) struct Plot {
    title: &'static str,
    below: &'static str,
    x: Axis,
    y: Axis,
    series: Vec<Series>,
}

/// The size of a plot and the room for its labels, in the units of its view box.
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 42.0;

/// The smallest value on a logarithmic axis: a microsecond, in milliseconds.
const LEAST: f64 = 0.001;

/// Points of one line; of more, equally many are taken out between two that stay.
const MOST_POINTS: usize = 600;

#[derive(Debug)]
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Axis {
        let most = values.clone().fold(0.0, f64::max);
        match scale {
            Scale::Linear => {
                let step = round_up(most / 5.0);
                // A point just above a step is drawn on it.
                let steps = (most / step - 1e-6).ceil().max(1.0);
                Axis { scale, low: 0.0, high: steps * step }
            }
            Scale::Log => {
                let least = values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
                let least = if least.is_finite() { least.max(LEAST) } else { 0.1 };
                let low = 10_f64.powf(least.log10().floor());
                Axis { scale, low, high: 10_f64.powf(most.max(low * 10.0).log10().ceil()) }
            }
            Scale::Nines => Axis { scale, low: 1.0, high: most.max(100.0) },
        }
    }

    /// Where a value lies: 0 at the beginning, 1 at the end.
    fn place(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log | Scale::Nines => {
                (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
            }
        };
        part.clamp(0.0, 1.0)
    }

    /// Values with a mark, and what is written at it.
    fn marks(&self) -> Vec<(f64, String)> {
        if self.scale == Scale::Linear {
            let step = round_up(self.high / 5.0);
            let count = (self.high / step + 1e-9).floor() as u32;
            return (0..=count)
                .map(|mark| f64::from(mark) * step)
                .map(|at| (at, short(at)))
                .collect();
        }
        let mut marks = Vec::new();
        let mut at = self.low;
        while at <= self.high * 1.000_001 {
            let text = if self.scale == Scale::Log { short(at) } else { share(at) };
            marks.push((at, text));
            at *= 10.0;
        }
        marks
    }
}

/// The next number of 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let factor =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= value * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// A number in few characters.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e3 => format!("{}k", v / 1e3),
        v => format!("{}", (v * 1e6).round() / 1e6),
    }
}

/// `1000`, one over what is left, as `99.9 %`.
fn share(value: f64) -> String {
    let digits = (value.log10().round() as usize).saturating_sub(2);
    format!("{:.digits$} %", (1.0 - 1.0 / value) * 100.0)
}

impl Plot {
    /// A plot whose axes hold all points.
    pub(crate) fn new(
        title: &'static str,
        below: &'static str,
        x: Scale,
        y: Scale,
        series: Vec<Series>,
    ) -> Plot {
        let points = || series.iter().flat_map(|series| series.points.iter().copied());
        let x = Axis::new(x, points().map(|(x, _)| x).collect::<Vec<_>>().into_iter());
        let y = Axis::new(y, points().map(|(_, y)| y).collect::<Vec<_>>().into_iter());
        Plot { title, below, x, y, series }
    }

    /// Appends the plot in a card of its own.
    pub(crate) fn draw(&self, out: &mut String) {
        let title = escaped(self.title);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>"
        );
        self.axes(&mut svg);
        for (position, series) in self.series.iter().enumerate() {
            self.line(&mut svg, position, series);
        }
        let mut key = String::new();
        for (position, series) in self.series.iter().enumerate() {
            let name = escaped(&series.name);
            let colour = colour(position);
            key.push_str(&format!("<li><i style=\"background:{colour}\"></i>{name}</li>"));
        }
        out.push_str(&format!(
            "<div class=\"card\"><h3>{title}</h3>{svg}</svg><ul class=\"key\">{key}</ul></div>"
        ));
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT);
        let down = HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM);
        (across, down)
    }

    fn axes(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in self.y.marks() {
            let (_, y) = self.at((self.x.low, value));
            write(svg, format_args!("<path class=\"axis\" d=\"M{LEFT} {y:.1}H{right}\"/>"));
            let (x, y) = (LEFT - 8.0, y + 4.0);
            write(
                svg,
                format_args!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>"),
            );
        }
        for (value, text) in self.x.marks() {
            let (x, _) = self.at((value, self.y.low));
            let y = bottom + 18.0;
            write(
                svg,
                format_args!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>"),
            );
        }
        let (x, y) = ((LEFT + right) / 2.0, HEIGHT - 6.0);
        let below = escaped(self.below);
        write(svg, format_args!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{below}</text>"));
    }

    fn line(&self, svg: &mut String, position: usize, series: &Series) {
        let step = series.points.len().div_ceil(MOST_POINTS).max(1);
        let points: Vec<(f64, f64)> = series.points.iter().step_by(step).copied().collect();
        let colour = colour(position);
        let mut path = String::new();
        for (number, point) in points.iter().enumerate() {
            let (x, y) = self.at(*point);
            write(&mut path, format_args!("{}{x:.1} {y:.1}", if number == 0 { 'M' } else { 'L' }));
        }
        write(svg, format_args!("<path class=\"line\" style=\"stroke:{colour}\" d=\"{path}\"/>"));
        // A line of one point is not seen, and few points can each be looked at.
        if points.len() <= 40 {
            for point in &points {
                let (x, y) = self.at(*point);
                let name = escaped(&series.name);
                let (at, value) = (self.told(point.0), short((point.1 * 100.0).round() / 100.0));
                write(
                    svg,
                    format_args!(
                        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" style=\"fill:{colour}\"><title>{name}, {at}: {value}</title></circle>"
                    ),
                );
            }
        }
    }

    /// A place on the axis below, in words.
    fn told(&self, value: f64) -> String {
        match self.x.scale {
            Scale::Nines => format!("{:.3} %", (1.0 - 1.0 / value) * 100.0),
            _ => format!("{value} {}", self.below),
        }
    }
}

fn write(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("writing to memory does not fail");
}

/// The colour of the series at this position: five, and then again.
fn colour(position: usize) -> String {
    format!("var(--s{})", position % 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::{Axis, Plot, Scale, Series, round_up, share, short};

    #[test]
    fn axes_end_at_round_numbers_and_hold_every_point() {
        assert_eq!([0.0, 0.3, 7.0, 10.0, 2_001.0].map(round_up), [1.0, 0.5, 10.0, 10.0, 5_000.0]);
        let linear = |most| Axis::new(Scale::Linear, [0.0, most].into_iter());
        assert_eq!(
            [0.0, 30.0, 105.0, 299.5].map(|most| linear(most).high),
            [1.0, 30.0, 150.0, 300.0]
        );
        let texts: Vec<String> = linear(299.5).marks().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["0", "100", "200", "300"]);
        let axis = Axis::new(Scale::Log, [0.4, 30.0].into_iter());
        assert!((axis.low - 0.1).abs() < 1e-9 && (axis.high - 100.0).abs() < 1e-9, "{axis:?}");
        assert!((axis.place(1.0) - 1.0 / 3.0).abs() < 1e-9);
        let texts: Vec<String> = axis.marks().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["0.1", "1", "10", "100"]);
        assert_eq!([share(1.0), share(10.0), share(10_000.0)], ["0 %", "90 %", "99.99 %"]);
        assert_eq!([short(1_500.0), short(2e6), short(0.05)], ["1.5k", "2M", "0.05"]);
    }

    #[test]
    fn an_empty_plot_and_one_of_zeros_can_be_drawn() {
        for points in [vec![], vec![(0.5, 0.0)]] {
            let series = vec![Series { name: "a \"b\"".to_owned(), points }];
            for scale in [Scale::Linear, Scale::Log] {
                let mut out = String::new();
                Plot::new("t", "x", Scale::Linear, scale, series.clone()).draw(&mut out);
                assert!(!out.contains("NaN") && !out.contains("inf"), "{out}");
                assert!(out.contains("a &quot;b&quot;"), "{out}");
            }
        }
    }
}
