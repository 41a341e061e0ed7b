//! Whether a model looks at its exemplar: the same questions with another one, and with none.

use serde_json::{Value as Json, json};

use super::super::measure::{Truths, both, figures, pairs, source_json};
use super::super::output::Failure;
use crate::config::Project;
use crate::domain::{Exemplar, PredictionSource, SampleId, Temperatures};
use crate::eval::{Comparison, Pair, Report, compare, report};
use crate::store::Store;

/// The same questions with another exemplar.
pub(super) struct Control {
    pub(super) exemplar: Exemplar,
    source: PredictionSource,
    /// What its predictions are worth; none where there are none.
    pub(super) measured: Option<(Report, Comparison)>,
}

impl Control {
    pub(super) fn json(&self) -> Json {
        self.measured.as_ref().map_or(Json::Null, |(report, comparison)| {
            let fields = report.fields.iter().map(|field| (field.field.to_string(), json!({ "exact": figures::share(&field.exact) })));
            let against: Json = figures::comparison(comparison, ["report", "control"]).into();
            json!({
                "samples": report.samples, "valid": figures::share(&report.valid), "whole_answer": figures::share(&report.whole),
                "whole_answer_interval": report.whole.interval, "fields": fields.collect::<serde_json::Map<_, _>>(),
                "changed": figures::share(&comparison.whole.changed), "against_report": against, "source": source_json(&self.source),
            })
        })
    }
}

/// What the controls of a one-shot source are predicted as. Without its exemplar a one-shot question is the zero-shot one,
/// token for token, so that zero-shot predictions serve where none are stored under the exemplar's own name.
pub(super) fn sources(
    store: &Store,
    one_shot: &PredictionSource,
    zero_shot: &PredictionSource,
    ids: &[SampleId],
) -> Result<Vec<(Exemplar, PredictionSource)>, Failure> {
    let mut sources = Vec::new();
    for exemplar in Exemplar::ALL {
        let own = PredictionSource { exemplar, ..one_shot.clone() };
        if exemplar == one_shot.exemplar {
            continue;
        }
        let mut stored = exemplar != Exemplar::None;
        if !stored {
            stored = true;
            for id in ids {
                stored &= store.said(id, &own)?.is_some();
            }
        }
        sources.push((exemplar, if stored { own } else { zero_shot.clone() }));
    }
    Ok(sources)
}

/// Measures the controls on the samples of a report.
pub(super) fn measure(
    project: &Project,
    store: &Store,
    main: &[Pair],
    sources: &[(Exemplar, PredictionSource)],
    truths: &Truths,
) -> Result<Vec<Control>, Failure> {
    let of = |(exemplar, source): &(Exemplar, PredictionSource)| {
        let control = pairs(store, source, truths.measured())?;
        let side_by_side: Vec<(Pair, Pair)> = both(main, &control);
        let own: Vec<Pair> = side_by_side.iter().map(|(_, control)| control.clone()).collect();
        let measured =
            (!own.is_empty()).then(|| (report(project.schema(), &own, &Temperatures::new()), compare(project.schema(), &side_by_side)));
        Ok(Control { exemplar: *exemplar, source: source.clone(), measured })
    };
    sources.iter().map(of).collect()
}
