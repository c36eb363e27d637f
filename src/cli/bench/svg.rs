//! The figures as a picture: a line each, with a bar for the ratio to the baseline.

use std::fmt::Write;

use super::report::{Figure, rate};

const LINE: usize = 22;
const WIDTH: usize = 940;
const BAR_FROM: f64 = 470.0;
const BAR_ROOM: f64 = 400.0;

/// A picture of all figures.
pub(super) fn draw(figures: &[Figure]) -> String {
    let most = figures.iter().filter_map(|f| f.ratio).fold(1.25, f64::max);
    let scale = BAR_ROOM / most;
    let height = LINE * (figures.len() + 2) + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let heads =
        [(10.0, "start", "name"), (230.0, "end", "workers"), (330.0, "end", "rows/s"), (440.0, "end", "baseline")];
    for (x, anchor, head) in heads {
        text(&mut svg, x, LINE, anchor, "gray", head);
    }
    text(&mut svg, BAR_FROM, LINE, "start", "gray", "ratio (the line is the baseline)");
    for (at, figure) in figures.iter().enumerate() {
        let y = LINE * (at + 2);
        text(&mut svg, 10.0, y, "start", "black", &figure.name);
        text(&mut svg, 230.0, y, "end", "black", &figure.workers.to_string());
        text(&mut svg, 330.0, y, "end", "black", &rate(figure.rows_per_s));
        text(&mut svg, 440.0, y, "end", "black", &rate(figure.baseline_rows_per_s));
        let Some(ratio) = figure.ratio else {
            text(&mut svg, BAR_FROM, y, "start", "black", &words(figure));
            continue;
        };
        let (color, length) = (if ratio >= 1.0 { "#2a7" } else { "#c83" }, (ratio * scale).max(1.0));
        let top = y - LINE / 2 - 4;
        let _ = writeln!(
            svg,
            "<rect x=\"{BAR_FROM}\" y=\"{top}\" width=\"{length:.1}\" height=\"{}\" fill=\"{color}\"/>",
            LINE - 6
        );
        text(&mut svg, BAR_FROM + length + 6.0, y, "start", "black", &format!("{ratio:.2}"));
    }
    let one = BAR_FROM + scale;
    let (from, to) = (LINE + 6, height - 4);
    let _ = writeln!(svg, "<line x1=\"{one:.1}\" y1=\"{from}\" x2=\"{one:.1}\" y2=\"{to}\" stroke=\"gray\"/>");
    svg + "</svg>\n"
}

/// What a figure without a ratio says.
fn words(figure: &Figure) -> String {
    let mut words = Vec::new();
    let mut say = |what: &str, value: Option<f64>| words.extend(value.map(|value| format!("{what} {value:.2}")));
    say("ready after ms", figure.startup_ms);
    say("CPU %", figure.cpu_percent);
    say("CPU ms per epoch", figure.cpu_ms_per_epoch);
    say("times", figure.cost);
    say("p50 ms", figure.p50_ms);
    say("p99 ms", figure.p99_ms);
    say("SELECT 1: p50 ms", figure.baseline_p50_ms);
    say("p99 ms", figure.baseline_p99_ms);
    words.join(", ")
}

fn text(svg: &mut String, x: f64, y: usize, anchor: &str, color: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"{color}\">{text}</text>");
}
