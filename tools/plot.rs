//! Draws the lines that `bench.py` measured: `plot DATA.json FOLDER` writes one SVG a chart.

use plotters::prelude::*;
use serde::Deserialize;
use std::error::Error;
use std::path::Path;

#[derive(Deserialize)]
struct Chart {
    /// The file's name, without its ending.
    file: String,
    title: String,
    x: String,
    y: String,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, folder] = &arguments[..] else { return Err("plot DATA.json FOLDER".into()) };
    let charts: Vec<Chart> = serde_json::from_str(&std::fs::read_to_string(data)?)?;
    for chart in &charts {
        draw(chart, &Path::new(folder).join(format!("{}.svg", chart.file)))?;
    }
    Ok(())
}

fn draw(chart: &Chart, file: &Path) -> Result<(), Box<dyn Error>> {
    let points = || chart.lines.iter().flat_map(|line| line.points.iter());
    let (from, to) = points().fold((f64::MAX, 0f64), |(from, to), (x, _)| (from.min(*x), to.max(*x)));
    let top = points().fold(0f64, |top, (_, y)| top.max(*y)) * 1.1;
    let area = SVGBackend::new(file, (720, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut context = ChartBuilder::on(&area)
        .caption(&chart.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((from..to).log_scale(), 0f64..top)?;
    context.configure_mesh().x_desc(&chart.x).y_desc(&chart.y).light_line_style(WHITE).draw()?;
    for (number, line) in chart.lines.iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        context
            .draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    context.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    area.present()?;
    Ok(())
}
