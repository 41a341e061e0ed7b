//! `--plots`: the figures as SVG and PNG files.

use std::path::{Path, PathBuf};

use super::super::output::Failure;
use super::Measured;
use crate::config::Project;
use crate::eval::{BarGroup, Plot, Share};

/// Writes every plot as SVG and as PNG; the files.
pub(super) fn write(project: &Project, dir: &Path, measured: &[Measured]) -> Result<Vec<PathBuf>, Failure> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Failure::new(format_args!("--plots {path}: {error}"))
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let mut written = Vec::new();
    for (name, plot) in plots(project, measured) {
        for (extension, bytes) in [("svg", plot.svg()?.into_bytes()), ("png", plot.png()?)] {
            let path = dir.join(format!("{name}.{extension}"));
            std::fs::write(&path, bytes).map_err(failed(&path))?;
            written.push(path);
        }
    }
    Ok(written)
}

/// The plots with the names of their files, which hold no more than kinds and ids of fields.
fn plots(project: &Project, measured: &[Measured]) -> Vec<(String, Plot)> {
    let mut plots = vec![("exact".to_owned(), bars(project, measured))];
    for known in measured {
        let kind = known.kind;
        if let Some(calibration) = &known.report.calibration {
            let title = format!("whole answer ({kind})");
            plots.push((format!("{kind}-reliability"), Plot::Reliability { title, bins: calibration.bins.clone(), ece: calibration.ece }));
        }
        for field in &known.report.fields {
            let title = project.schema().field(&field.field).map(|field| field.title.clone()).unwrap_or_default();
            let title = format!("{title} ({kind})");
            if let Some(calibration) = field.calibration() {
                let plot = Plot::Reliability { title: title.clone(), bins: calibration.bins.clone(), ece: calibration.ece };
                plots.push((format!("{kind}-{}-reliability", field.field), plot));
            }
            if let Some(confusion) = &field.confusion {
                plots.push((
                    format!("{kind}-{}-confusion", field.field),
                    Plot::Matrix { title: title.clone(), confusion: confusion.clone() },
                ));
            }
            if let Some(address) = &field.address {
                for (part, confusion) in [("rows", &address.rows), ("columns", &address.columns)] {
                    let plot = Plot::Matrix { title: format!("{title}: {part}"), confusion: confusion.clone() };
                    plots.push((format!("{kind}-{}-{part}", field.field), plot));
                }
            }
        }
    }
    plots
}

/// Exact matches of every field and of whole answers, the kinds beside each other.
fn bars(project: &Project, measured: &[Measured]) -> Plot {
    let bar = |share: Option<Share>| share.and_then(|share| Some((share.share()?, share.interval)));
    let group = |name: String, of: &dyn Fn(&Measured) -> Option<Share>| BarGroup {
        name,
        bars: measured.iter().map(|known| bar(of(known))).collect(),
    };
    let mut groups = vec![group("whole answer".to_owned(), &|known| Some(known.report.whole))];
    for field in project.schema().fields() {
        let of = |known: &Measured| known.report.fields.iter().find(|report| report.field == field.id).map(|report| report.exact);
        if measured.iter().any(|known| of(known).is_some()) {
            groups.push(group(field.title.clone(), &of));
        }
    }
    Plot::Bars {
        title: "exact matches, with 95 % intervals".to_owned(),
        series: measured.iter().map(|known| known.kind.name().to_owned()).collect(),
        groups,
    }
}
