//! `mekiki compare`: two ways of predicting the same samples.

mod spec;

use clap::Args;
use serde_json::{Value as Json, json};

use super::context::Context;
use super::measure::table::{Table, percent, with_interval};
use super::measure::{Made, MeasureArgs, Truths, both, figures, pairs, source_json};
use super::output::{Failure, Outcome};
use crate::config::Project;
use crate::domain::{Kind, PredictionSource, SampleId};
use crate::eval::{Comparison, Flip, Side, compare};
use crate::store::Store;
use spec::Asked;

/// Flips that are listed in lines; in JSON all are.
const MOST_FLIPS: usize = 20;

/// Compare two ways of predicting on the same samples: what flips, and whether the difference could be chance.
///
/// A and B are a model's name, or words such as `model=demo,kind=one-shot`: model, adapter (a folder), instruction (a version,
/// or `version/language`), exemplar (right, wrong, none) and kind (zero-shot, one-shot). What is not said is the project's;
/// the kind is zero-shot unless an exemplar is named. Predictions that are missing are made where the checkpoint is there.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The first, for example `demo` or `kind=zero-shot`.
    #[arg(value_name = "A")]
    first: String,
    /// The second, for example `demo2` or `kind=one-shot`.
    #[arg(value_name = "B")]
    second: String,
    #[command(flatten)]
    measure: MeasureArgs,
}

pub(super) fn run(context: &Context, args: &CompareArgs) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let sides = [Asked::parse(&project, &store, &args.first)?, Asked::parse(&project, &store, &args.second)?];
    let [a, b] = &sides;
    if a.source == b.source {
        return Err(Failure::usage(format_args!("A and B are the same: {}; name another model, adapter, kind, …", called(&a.source))));
    }
    let truths = Truths::read(&project, &store, &args.measure)?;
    let ids: Vec<SampleId> = truths.measured().map(|known| known.id.clone()).collect();
    let mut made = Made::default();
    let mut predicted = Vec::new();
    for side in &sides {
        let more = Made::missing(context, &side.project, &mut store, &side.eye, &[&side.source], &ids, args.measure.means())?;
        let pairs = pairs(&store, &side.source, truths.measured())?;
        if pairs.is_empty() {
            return Err(Failure::new(format_args!(
                "there are no predictions of {} to compare: {}\n{}",
                called(&side.source),
                more.reason(),
                known_sources(&store)?
            )));
        }
        made.and(more);
        predicted.push(pairs);
    }
    let both = match predicted.as_slice() {
        [first, second] => both(first, second),
        _ => Vec::new(),
    };
    if both.is_empty() {
        return Err(Failure::new("no sample is predicted by both; predict them with 'mekiki predict'"));
    }
    let compared = compare(project.schema(), &both);
    let mut object = figures::comparison(&compared, ["a", "b"]);
    object.insert("sources".to_owned(), json!({ "a": source_json(&a.source), "b": source_json(&b.source) }));
    object.insert("flips".to_owned(), Json::Array(compared.flips.iter().map(figures::flip).collect()));
    object.insert("truth".to_owned(), truths.json());
    object.insert("made".to_owned(), made.json());
    context.out.object(&object)?;
    if !context.out.is_json() {
        truths.print(context);
        made.print(context);
        print(context, &project, [&a.source, &b.source], &compared);
    }
    Ok(if made.has_problems() || truths.has_problems() { Outcome::Problems } else { Outcome::Done })
}

/// What a source is called, in the words in which it is typed.
fn called(source: &PredictionSource) -> String {
    let adapter = source.adapter.as_ref().map(|adapter| format!(",adapter={adapter}")).unwrap_or_default();
    let exemplar = if source.kind == Kind::OneShot { format!(",exemplar={}", source.exemplar.name()) } else { String::new() };
    format!("model={}{adapter},instruction={},kind={}{exemplar}", source.model, source.instruction, source.kind)
}

/// What has predicted in this project.
fn known_sources(store: &Store) -> Result<String, Failure> {
    let sources = store.sources()?;
    let lines: Vec<String> = sources.iter().map(|known| format!("  {} ({} samples)", called(&known.source), known.predictions)).collect();
    Ok(if lines.is_empty() {
        "nothing has predicted in this project yet".to_owned()
    } else {
        format!("there are predictions of\n{}", lines.join("\n"))
    })
}

fn print(context: &Context, project: &Project, sources: [&PredictionSource; 2], compared: &Comparison) {
    let out = context.out;
    for (name, source) in ["A", "B"].iter().zip(sources) {
        out.line(format_args!("{name}: {}", called(source)));
    }
    out.line("");
    let mut table = Table::default();
    table.push(["", "A", "B", "B more right", "answers that flip", "only A right", "only B right", "p"].map(String::from));
    let row = |name: &str, side: &Side| {
        let (low, high) = side.gain_interval;
        [
            name.to_owned(),
            with_interval(&side.first),
            with_interval(&side.second),
            format!("{:+.1} % ({:+.1} to {:+.1})", side.gain * 100.0, low * 100.0, high * 100.0),
            percent(side.changed.share()),
            side.mcnemar.only_first.to_string(),
            side.mcnemar.only_second.to_string(),
            format!("{:.4} ({})", side.mcnemar.p, side.mcnemar.test.name()),
        ]
    };
    table.push(row("whole answer", &compared.whole));
    for side in &compared.fields {
        table.push(row(side.field.as_ref().map_or("", |field| field.as_str()), side));
    }
    table.print(out);
    out.line(format_args!("p: McNemar's test, how likely so uneven a split is if A and B were equally good; {} samples", compared.samples));
    let count = |wanted: (bool, bool)| compared.flips.iter().filter(|flip| flip.right == Some(wanted)).count();
    out.line("");
    out.line(format_args!(
        "{} flips in {} fields: {} from wrong to right, {} from right to wrong, {} from wrong to wrong",
        compared.flips.len(),
        project.schema().fields().len(),
        count((false, true)),
        count((true, false)),
        count((false, false))
    ));
    let mut table = Table::of_words();
    for Flip { sample, field, truth, from, to, .. } in compared.flips.iter().take(MOST_FLIPS) {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        let truth = truth.as_ref().map(|truth| format!("(true: {truth})")).unwrap_or_default();
        table.push([sample.to_string(), field.to_string(), format!("{} -> {}", text(from), text(to)), truth]);
    }
    table.print(out);
    if compared.flips.len() > MOST_FLIPS {
        out.line(format_args!("  … and {} more; --json lists all", compared.flips.len() - MOST_FLIPS));
    }
}
