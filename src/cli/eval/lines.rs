//! The report for people.

use super::super::context::Context;
use super::super::measure::table::{Table, bars, beside, matrix, number, percent, reliability, with_interval};
use super::Measured;
use super::temperatures::{FEWEST, FittedField};
use crate::config::Project;
use crate::domain::{FieldId, Kind};
use crate::eval::{AddressErrors, FieldReport, Judgement, Share};

/// Mistakes that are listed of a field.
const MOST_MISTAKES: usize = 5;

/// All of it: kinds side by side, then what went wrong where.
pub(super) fn print(context: &Context, project: &Project, measured: &[Measured]) {
    let out = context.out;
    out.line("");
    summary(project, measured).print(out);
    judgement(context, project, measured);
    controls(context, measured);
    for known in measured {
        let name = known.kind.name();
        for field in &known.report.fields {
            if let Some(confusion) = field.confusion.as_ref().filter(|confusion| confusion.right() < confusion.total()) {
                out.line("");
                out.line(format_args!("{} ({name})", field.field));
                matrix(confusion).print(out);
            } else if !field.mistakes.is_empty() {
                let listed =
                    field.mistakes.iter().take(MOST_MISTAKES).map(|mistake| {
                        format!("{} for {} ({}x)", mistake.said.as_deref().unwrap_or("nothing"), mistake.truth, mistake.count)
                    });
                out.line("");
                out.line(format_args!("{} ({name}): said {}", field.field, listed.collect::<Vec<_>>().join(", ")));
            }
            if let Some(address) = field.address.as_ref().filter(|_| field.exact.right < field.exact.of) {
                address_lines(context, address);
            }
        }
    }
    calibration(context, measured);
}

fn summary(project: &Project, measured: &[Measured]) -> Table {
    let mut table = Table::default();
    let row = |name: &str, cell: &dyn Fn(&Measured) -> String| {
        std::iter::once(name.to_owned()).chain(measured.iter().map(cell)).collect::<Vec<String>>()
    };
    table.push(row("", &|known| {
        let source = &known.source;
        let adapter = source.adapter.as_ref().map(|adapter| format!(" + {adapter}")).unwrap_or_default();
        format!("{}, {}{adapter}", known.kind, source.model)
    }));
    table.push(row("samples", &|known| match known.missing {
        0 => known.report.samples.to_string(),
        missing => format!("{} ({missing} not predicted)", known.report.samples),
    }));
    table.push(row("answers valid", &|known| percent(known.report.valid.share())));
    table.push(row("whole answer", &|known| with_interval(&known.report.whole)));
    for field in project.schema().fields() {
        let of = |known: &Measured| known.report.fields.iter().find(|report| report.field == field.id).map(|report| report.exact);
        if measured.iter().any(|known| of(known).is_some()) {
            table.push(row(field.id.as_str(), &|known| of(known).as_ref().map_or_else(|| "-".to_owned(), with_interval)));
        }
    }
    table
}

fn judgement(context: &Context, project: &Project, measured: &[Measured]) {
    let judged: Vec<(&str, &Judgement)> =
        measured.iter().filter_map(|known| Some((known.kind.name(), known.report.judgement.as_ref()?))).collect();
    let Some((_, first)) = judged.first() else { return };
    let good = project.schema().field(&first.good.field).map(|field| field.render(&first.good.value)).unwrap_or_default();
    context.out.line("");
    context.out.line(format_args!("{}: positive is every value but {good}, which the rules tell is good", first.good.field));
    let mut table = Table::default();
    table.push(["", "balanced accuracy", "F1", "MCC", "found", "missed", "false alarms", "passed"].map(String::from));
    for (name, judgement) in judged {
        let counts = [judgement.found, judgement.missed, judgement.false_alarms, judgement.passed].map(|count| count.to_string());
        let scores = [percent(judgement.balanced_accuracy()), number(judgement.f1()), number(judgement.mcc())];
        table.push(std::iter::once(name.to_owned()).chain(scores).chain(counts));
    }
    table.print(context.out);
}

fn controls(context: &Context, measured: &[Measured]) {
    for known in measured.iter().filter(|known| known.kind == Kind::OneShot) {
        context.out.line("");
        context.out.line("does it look at its exemplar? the same questions with another one, and with none:");
        let mut table = Table::default();
        table.push(["exemplar", "samples", "whole answer", "answers that change", "p"].map(String::from));
        let whole = &known.report.whole;
        let shown = known.source.exemplar.name();
        table.push([format!("{shown} (the report)"), known.report.samples.to_string(), with_interval(whole), String::new(), String::new()]);
        for control in &known.controls {
            let cells = control.measured.as_ref().map(|(report, comparison)| {
                let Share { right, of, .. } = comparison.whole.changed;
                [
                    report.samples.to_string(),
                    with_interval(&report.whole),
                    format!("{right} of {of}"),
                    format!("{:.3}", comparison.whole.mcnemar.p),
                ]
            });
            table.push(
                std::iter::once(control.exemplar.name().to_owned())
                    .chain(cells.unwrap_or_else(|| ["none", "-", "-", "-"].map(String::from))),
            );
        }
        table.print(context.out);
    }
}

fn address_lines(context: &Context, errors: &AddressErrors) {
    context.out.line(format_args!(
        "  of {} addresses: {} wrong in the row only, {} in the column only, {} in both, {} of these beside the true one; {} overlooked, {} imagined",
        errors.located, errors.row_only, errors.column_only, errors.both, errors.beside, errors.overlooked, errors.imagined
    ));
    for (name, confusion) in [("by row", &errors.rows), ("by column", &errors.columns)] {
        let shares = confusion.values.iter().zip(&confusion.counts).enumerate().filter_map(|(index, (value, counts))| {
            let of = counts.iter().sum::<u64>();
            (of > 0).then(|| format!("{value} {}/{of}", of - counts[index]))
        });
        context.out.line(format_args!("  wrong {name}: {}", shares.collect::<Vec<_>>().join("  ")));
    }
}

fn calibration(context: &Context, measured: &[Measured]) {
    context.out.line("");
    context.out.line("calibration: right over confidence, 0 to 100 % in 15 bins");
    let mut table = Table::default();
    table.push(["", "", "ECE", "Brier", "NLL", "temperature"].map(String::from));
    for known in measured {
        let rows = known.report.fields.iter().filter_map(|field: &FieldReport| Some((&field.field, field.calibration()?, field)));
        for (id, calibration, field) in rows {
            let id: &FieldId = id;
            let temperature = match (field.temperature, &field.said) {
                (Some(temperature), Some(said)) => format!("{temperature:.3} (ECE was {})", percent(Some(said.ece))),
                _ => "-".to_owned(),
            };
            table.push([
                format!("{id} ({})", known.kind),
                bars(&calibration.bins),
                percent(Some(calibration.ece)),
                number(Some(calibration.brier)),
                number(Some(calibration.nll)),
                temperature,
            ]);
        }
    }
    table.print(context.out);
    let charts: Vec<Vec<String>> = measured
        .iter()
        .filter_map(|known| Some(reliability(&format!("whole answer ({})", known.kind), known.report.calibration.as_ref()?)))
        .collect();
    context.out.line("");
    let lines = match charts.as_slice() {
        [left, right] => beside(left, right),
        other => other.concat(),
    };
    for line in lines {
        context.out.line(line);
    }
}

/// What `--fit-temperature` did.
pub(super) fn temperatures(context: &Context, asked: bool, fitted: &[FittedField]) {
    if asked && fitted.is_empty() {
        context.out.line(format_args!(
            "no temperature was fitted: at least {FEWEST} predicted samples of the validation split with a known truth are needed"
        ));
    }
    for field in fitted {
        context.out.line(format_args!(
            "temperature of {} ({}): {:.3}, fitted on {} samples of the validation split and kept",
            field.field, field.source.kind, field.fitted.temperature, field.fitted.samples
        ));
    }
}
