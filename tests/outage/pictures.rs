//! Pictures of the dashboards, drawn from what Prometheus answers to their panels' expressions.

use plotters::prelude::*;
use serde_json::Value;

/// A panel, and the lines of its answer: each a name and its points.
pub struct Panel {
    pub title: String,
    pub unit: String,
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Reads the answer to a range query.
pub fn lines(data: &Value, legend: &str) -> Vec<(String, Vec<(f64, f64)>)> {
    let series = data["result"].as_array().into_iter().flatten();
    series
        .map(|series| {
            let mut name = legend.to_owned();
            for (label, value) in series["metric"].as_object().into_iter().flatten() {
                name = name.replace(&format!("{{{{{label}}}}}"), value.as_str().unwrap_or_default());
            }
            let points = series["values"].as_array().into_iter().flatten().filter_map(|point| {
                let value: f64 = point[1].as_str()?.parse().ok()?;
                value.is_finite().then_some((point[0].as_f64()?, value))
            });
            (name, points.collect())
        })
        .collect()
}

/// Draws a dashboard, three panels in a row.
pub fn draw(path: &str, title: &str, panels: &[Panel]) {
    let rows = panels.len().div_ceil(3);
    let height = u32::try_from(rows).expect("few") * 210 + 40;
    let root = SVGBackend::new(path, (1200, height)).into_drawing_area();
    root.fill(&WHITE).expect("drawn");
    let below = root.titled(title, ("sans-serif", 20)).expect("drawn");
    for (panel, area) in panels.iter().zip(below.split_evenly((rows, 3))) {
        let points = panel.lines.iter().flat_map(|(_, points)| points);
        let (mut from, mut to, mut most) = (f64::MAX, f64::MIN, 0.0_f64);
        for (x, y) in points {
            (from, to, most) = (from.min(*x), to.max(*x), most.max(*y));
        }
        if from >= to {
            continue;
        }
        let caption = format!("{} ({})", panel.title, panel.unit);
        let mut chart = ChartBuilder::on(&area)
            .caption(caption, ("sans-serif", 13))
            .margin(8)
            .x_label_area_size(18)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..to - from, 0.0..if most > 0.0 { most * 1.1 } else { 1.0 })
            .expect("a chart");
        chart.configure_mesh().x_labels(4).y_labels(4).label_style(("sans-serif", 10)).draw().expect("drawn");
        // Many lines with their names would hide each other.
        for (n, (name, points)) in panel.lines.iter().take(8).enumerate() {
            let colour = Palette99::pick(n).to_rgba();
            let line = LineSeries::new(points.iter().map(|(x, y)| (x - from, *y)), &colour);
            let line = chart.draw_series(line).expect("drawn").label(name.clone());
            line.legend(move |(x, y)| PathElement::new([(x, y), (x + 10, y)], colour));
        }
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::UpperLeft).label_font(("sans-serif", 9)).background_style(WHITE.mix(0.6));
        labels.draw().expect("drawn");
    }
    root.present().expect("written");
}
