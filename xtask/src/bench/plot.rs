//! The plot: processor time per delivery, a panel for each measure of one room and a bar for each server.
//!
//! Owns the drawing, as SVG, which is text.

use std::fmt::Write as _;

use super::measures::{MEASURES, Measure};
use super::results::{Results, Runs, Spread};

const FIGURE: &str = "cpu_per_delivery_us";
const WIDTH: f64 = 860.0;
/// Where bars begin, and how wide the longest is.
const LEFT: f64 = 150.0;
const LONGEST: f64 = 560.0;
const BAR: f64 = 18.0;
const TITLE: f64 = 34.0;

/// Draws what there is; `None` when there is nothing.
pub(super) fn draw(results: &Results) -> Option<String> {
    let panels: Vec<(&Measure, &Runs)> = MEASURES
        .iter()
        .filter(|measure| measure.shown.first().is_some_and(|shown| shown.figure == FIGURE && shown.ratio))
        .filter_map(|measure| Some((measure, results.of(measure)?)))
        .collect();
    let spreads = |measure: &Measure, runs: &Runs| -> Vec<(&'static str, Spread)> {
        let spread = |server| Some((super::Server::name(server), runs.spread(server, FIGURE)?));
        measure.servers.iter().filter_map(|server| spread(*server)).collect()
    };
    let all: Vec<(&str, Vec<(&str, Spread)>)> =
        panels.iter().map(|(measure, runs)| (measure.title, spreads(measure, runs))).collect();
    let most = all.iter().flat_map(|(_, bars)| bars).map(|(_, spread)| spread.most).reduce(f64::max)?;
    Some(svg(&all, most))
}

fn svg(panels: &[(&str, Vec<(&str, Spread)>)], most: f64) -> String {
    let (mut body, mut top) = (String::new(), 30.0);
    for (title, bars) in panels {
        // A string takes whatever is written to it.
        let _ = writeln!(body, r#"<text x="12" y="{:.0}" class="title">{title}</text>"#, top + 16.0);
        top += TITLE - 8.0;
        for (name, spread) in bars {
            bar(&mut body, top, name, spread, most);
            top += BAR + 6.0;
        }
        top += 14.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top:.0}\" viewBox=\"0 0 {WIDTH} {top:.0}\">\n\
         <style>text {{ font: 13px sans-serif; fill: #222 }} .title {{ font-weight: bold }} .bar {{ fill: #9db4c0 }} \
         .ours {{ fill: #c0562b }} .spread {{ stroke: #222; stroke-width: 1.5 }}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"20\">server CPU per delivery in microseconds: median, least and most of the runs; less is better</text>\n\
         {body}</svg>\n"
    )
}

fn bar(body: &mut String, top: f64, name: &str, spread: &Spread, most: f64) {
    let x = |value: f64| LEFT + LONGEST * value / most;
    let class = if name.starts_with("Roomcast") { "ours" } else { "bar" };
    let middle = top + BAR / 2.0;
    let _ = writeln!(
        body,
        r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{name}</text><rect class="{class}" x="{LEFT}" y="{top:.1}" width="{:.1}" height="{BAR}"/><line class="spread" x1="{:.1}" y1="{middle:.1}" x2="{:.1}" y2="{middle:.1}"/><text x="{:.1}" y="{:.1}">{:.2}</text>"#,
        LEFT - 8.0,
        middle + 4.5,
        x(spread.median) - LEFT,
        x(spread.least),
        x(spread.most),
        x(spread.most) + 8.0,
        middle + 4.5,
        spread.median,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_has_all_the_width_and_half_of_it_has_half() {
        let spread = |value: f64| Spread { median: value, least: value, most: value };
        let text = svg(&[("a title", vec![("Roomcast", spread(2.0)), ("another", spread(4.0))])], 4.0);
        assert!(text.contains(r#"class="ours" x="150" y="56.0" width="280.0""#), "{text}");
        assert!(text.contains(r#"class="bar" x="150" y="80.0" width="560.0""#), "{text}");
    }
}
