//! The figures as pictures, for `docs/performance.md`.

use std::error::Error;
use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::figures::Latency;
use super::growth::{Growth, Round};
use super::report::{Report, Row};
use super::system::{Cpu, Service};

const SIZE: (u32, u32) = (900, 420);
const FONT: &str = "sans-serif";
const BLUE: RGBColor = RGBColor(0x1f, 0x5f, 0xa8);
const ORANGE: RGBColor = RGBColor(0xc4, 0x5a, 0x1c);
const GREEN: RGBColor = RGBColor(0x2e, 0x8b, 0x57);
const GREY: RGBColor = RGBColor(0x8a, 0x8a, 0x8a);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// Points that belong together, in the order in which they are joined.
struct Line {
    name: String,
    colour: RGBColor,
    is_filled: bool,
    points: Vec<(f64, f64)>,
}

/// Draws what was measured: `http.svg` if commands came over HTTP from several numbers of clients, `growth.svg` if a history grew.
pub(crate) fn draw(report: &Report, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let waited: Vec<&Row> = report.rows.iter().filter(|row| row.clients.is_some()).collect();
    if waited.len() > 1 {
        picture(&folder.join("http.svg"), |area| latency(area, &waited))?;
    }
    if let Some(grown) = report.growth.as_ref().filter(|growth| growth.rounds.len() > 1) {
        picture(&folder.join("growth.svg"), |area| growth(area, grown))?;
    }
    Ok(())
}

fn picture(file: &Path, draw: impl FnOnce(&Area<'_>) -> Drawn) -> anyhow::Result<()> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    let all = || -> Drawn {
        area.fill(&WHITE)?;
        draw(&area)?;
        Ok(area.present()?)
    };
    // plotters' errors may not be sent to other threads, as those of anyhow may.
    all().map_err(|error| anyhow!("cannot draw {}: {error}", file.display()))
}

/// Rate against latency: each point is a number of clients.
fn latency(area: &Area<'_>, rows: &[&Row]) -> Drawn {
    let line = |name: &str, colour, is_floor: bool, of: fn(Latency) -> f64| {
        let point = |row: &&Row| {
            let figures = match is_floor {
                false => row.ours,
                true => row.floor.as_ref()?.figures,
            };
            Some((figures.per_second, of(figures.latency?)))
        };
        Line {
            name: name.to_owned(),
            colour,
            is_filled: name.ends_with("p50"),
            points: rows.iter().filter_map(point).collect(),
        }
    };
    let lines = [
        line("Foldline, p50", BLUE, false, |latency| latency.p50_ms),
        line("Foldline, p99", BLUE, false, |latency| latency.p99_ms),
        line("floor, p50", GREY, true, |latency| latency.p50_ms),
        line("floor, p99", GREY, true, |latency| latency.p99_ms),
    ];
    let points = || lines.iter().flat_map(|line| &line.points);
    let mut chart = chart(
        area,
        "HTTP commands, committed: rate and latency, by the number of clients",
        (
            decades(points().map(|point| point.0)).log_scale(),
            "commands per second",
        ),
        (decades(points().map(|point| point.1)).log_scale(), "milliseconds"),
    )?;
    for line in &lines {
        draw_line(&mut chart, line)?;
    }
    let counts = rows.iter().zip(&lines[0].points);
    chart.draw_series(counts.map(|(row, point)| {
        let clients = row.clients.unwrap_or_default().to_string();
        EmptyElement::at(*point) + Text::new(clients, (7, 2), (FONT, 13).into_font().color(&BLUE))
    }))?;
    legend(&mut chart)
}

/// History against what a command and an event cost, and what the services have in memory.
fn growth(area: &Area<'_>, growth: &Growth) -> Drawn {
    let over = |name: &str, colour, of: &dyn Fn(&Round) -> Option<f64>| {
        let point = |round: &Round| Some((millions(round.events), of(round)?));
        Line {
            name: name.to_owned(),
            colour,
            is_filled: true,
            points: growth.rounds.iter().filter_map(point).collect(),
        }
    };
    let cost = |name: &str, colour, of: fn(&Round) -> &Cpu, process: &str| {
        over(name, colour, &|round| {
            of(round).get(process).map(|cpu| cpu * MICROS)
        })
    };
    let (handler, projector) = (Service::CommandHandler.name(), Service::Projector.name());
    let costs = [
        cost(
            "a command: command-handler",
            BLUE,
            |round| &round.commands_cpu,
            handler,
        ),
        cost("a command: Kafka", GREY, |round| &round.commands_cpu, "Kafka"),
        cost(
            "an event into the views: projector",
            ORANGE,
            |round| &round.views_cpu,
            projector,
        ),
    ];
    let memory = Service::ALL
        .into_iter()
        .zip([BLUE, ORANGE, GREEN])
        .map(|(service, colour)| {
            // Exact up to 2^53.
            #[allow(clippy::cast_precision_loss)]
            let most = move |round: &Round| round.memory_mb.get(service.name()).map(|(_, most)| *most as f64);
            over(service.name(), colour, &most)
        });
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    linear(
        &left,
        ("CPU of one, as the history grows", "microseconds"),
        &costs,
    )?;
    linear(
        &right,
        ("Memory, as the history grows", "MB at most"),
        &memory.collect::<Vec<_>>(),
    )
}

/// Of a second for 100,000.
const MICROS: f64 = 10.0;

/// Both axes from 0: a cost that grows is seen to.
fn linear(area: &Area<'_>, (caption, unit): (&str, &str), lines: &[Line]) -> Drawn {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(1.0, f64::max) * 1.3;
    let mut chart = chart(
        area,
        caption,
        (0.0..most(|point| point.0), "million events"),
        (0.0..most(|point| point.1), unit),
    )?;
    for line in lines {
        draw_line(&mut chart, line)?;
    }
    legend(&mut chart)
}

/// Axes that have a range and a name each, and nothing else yet.
fn chart<'a, X, Y>(
    area: &Area<'a>,
    caption: &str,
    (x, x_name): (X, &str),
    (y, y_name): (Y, &str),
) -> Result<Chart<'a, 'a, X::CoordDescType, Y::CoordDescType>, Box<dyn Error>>
where
    X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
{
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 18))
        .margin(14)
        .margin_right(30)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE.mix(0.0))
        .x_desc(x_name)
        .y_desc(y_name)
        .x_label_formatter(&|value| plain(*value))
        .y_label_formatter(&|value| plain(*value))
        .draw()?;
    Ok(chart)
}

fn draw_line<X, Y>(chart: &mut Chart<'_, '_, X, Y>, line: &Line) -> Drawn
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let colour = line.colour;
    let points = line.points.iter().copied();
    let width = if line.is_filled { 2 } else { 1 };
    chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(width)))?;
    let dot = match line.is_filled {
        true => colour.filled(),
        false => colour.stroke_width(1),
    };
    chart
        .draw_series(points.map(|point| Circle::new(point, 4, dot)))?
        .label(line.name.as_str())
        .legend(move |(x, y)| Circle::new((x + 8, y), 4, dot));
    Ok(())
}

fn legend<'a, X, Y>(chart: &mut Chart<'a, 'a, X, Y>) -> Drawn
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 13))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

type Chart<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

/// The powers of ten that all lie between.
fn decades(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| {
        (value.min(least), value.max(most))
    });
    let least = least.min(most).log10().floor();
    // A decade at least: a range of nothing cannot be drawn.
    10f64.powf(least)..10f64.powf(most.log10().ceil().max(least + 1.0))
}

fn millions(events: usize) -> f64 {
    // Exact up to 2^53.
    #[allow(clippy::cast_precision_loss)]
    let events = events as f64;
    events / 1e6
}

/// As few digits as say it.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::{decades, draw, plain};
    use crate::bench::figures::Figures;
    use crate::bench::growth::{Growth, Round};
    use crate::bench::machine::Machine;
    use crate::bench::report::{Floor, Report, Row};
    use crate::bench::system::{Cpu, Memory, Service};

    fn row(clients: usize) -> Row {
        let took = Duration::from_millis(10);
        let figures = Figures::timed(vec![took; clients], took);
        Row {
            what: "HTTP".to_owned(),
            unit: "commands",
            clients: Some(clients),
            rounds: 1,
            ours: figures,
            floor: Some(Floor::below(&figures, "nothing", figures)),
            cpu_seconds_per_100k: Cpu::new(),
            goals: Vec::new(),
        }
    }

    fn round(events: usize) -> Round {
        Round {
            orders: events / 6,
            events,
            commands_per_second: 100.0,
            views_per_second: 100.0,
            commands_cpu: Cpu::from([(Service::CommandHandler.name(), 2.5), ("Kafka", 1.5)]),
            views_cpu: Cpu::from([(Service::Projector.name(), 2.0)]),
            memory_mb: Memory::from(Service::ALL.map(|service| (service.name(), (90, 100)))),
        }
    }

    fn report() -> Report {
        let growth = Growth {
            rounds: vec![round(600), round(1_200), round(1_800)],
            start_seconds: 1.0,
            restore_seconds: 1.0,
        };
        Report {
            measured_at: String::new(),
            quick: true,
            preloaded_commands: 0,
            rows: vec![row(1), row(256)],
            growth: Some(growth),
            memory_mb: Memory::new(),
            machine: Machine::look(),
        }
    }

    #[test]
    fn an_axis_goes_from_one_power_of_ten_to_another() {
        assert_eq!(decades([134.0, 4_608.0].into_iter()), 100.0..10_000.0);
        assert_eq!(decades([100.0].into_iter()), 100.0..1_000.0);
        assert_eq!(decades([1.5, 10.0].into_iter()), 1.0..10.0);
    }

    #[test]
    fn a_label_has_no_digit_that_says_nothing() {
        assert_eq!([0.1, 1.0, 2.5, 1_000.0].map(plain), ["0.1", "1", "2.5", "1000"]);
    }

    #[test]
    fn each_number_of_clients_and_each_round_of_growth_is_a_point() {
        let folder = tempfile::tempdir().unwrap();
        draw(&report(), folder.path()).unwrap();
        let points = |name: &str| {
            let svg = fs::read_to_string(folder.path().join(name)).unwrap();
            svg.matches("<circle").count()
        };
        // Each line has a point for each, and one in the legend.
        assert_eq!(points("http.svg"), 4 * (2 + 1));
        assert_eq!(points("growth.svg"), 6 * (3 + 1));
    }
}
