//! Figures as JSON, whose keys are part of the interface.

use serde_json::{Map, Value as Json, json};

use crate::config::Project;
use crate::domain::FieldId;
use crate::eval::{AddressErrors, Calibration, Comparison, Confusion, FieldReport, Flip, Judgement, Report, Share, Side};

/// Wrong values that are listed of a field.
const MOST_MISTAKES: usize = 50;

/// A share as a number; null of nothing.
pub(in crate::cli) fn share(share: &Share) -> Json {
    json!(share.share())
}

pub(in crate::cli) fn calibration(calibration: &Calibration) -> Json {
    let bins: Vec<Json> =
        calibration.bins.iter().map(|bin| json!({ "count": bin.count, "confidence": bin.confidence, "accuracy": bin.accuracy })).collect();
    json!({ "samples": calibration.samples, "ece": calibration.ece, "brier": calibration.brier, "nll": calibration.nll, "bins": bins })
}

fn confusion(confusion: &Confusion) -> Json {
    json!({ "values": confusion.values, "counts": confusion.counts })
}

fn address(address: &AddressErrors) -> Json {
    json!({
        "located": address.located, "row_only": address.row_only, "column_only": address.column_only, "both": address.both,
        "beside": address.beside, "overlooked": address.overlooked, "imagined": address.imagined,
        "rows": confusion(&address.rows), "columns": confusion(&address.columns),
    })
}

fn judgement(project: &Project, judgement: &Judgement) -> Json {
    let good = project.schema().field(&judgement.good.field).map(|field| field.render(&judgement.good.value));
    json!({
        "field": judgement.good.field, "good": good, "balanced_accuracy": judgement.balanced_accuracy(), "f1": judgement.f1(),
        "mcc": judgement.mcc(), "found": judgement.found, "missed": judgement.missed, "false_alarms": judgement.false_alarms,
        "passed": judgement.passed,
    })
}

fn field(field: &FieldReport) -> Json {
    let mistakes: Vec<Json> = field
        .mistakes
        .iter()
        .take(MOST_MISTAKES)
        .map(|mistake| json!({ "truth": mistake.truth, "said": mistake.said, "count": mistake.count }))
        .collect();
    let mut told = json!({
        "samples": field.exact.of, "exact": share(&field.exact), "interval": field.exact.interval,
        "calibration": field.calibration().map(calibration), "mistakes": mistakes,
    });
    if let Some(temperature) = field.temperature {
        told["temperature"] = json!(temperature);
        told["uncorrected"] = json!(field.said.as_ref().map(calibration));
    }
    if let Some(counts) = &field.confusion {
        told["confusion"] = confusion(counts);
    }
    if let Some(errors) = &field.address {
        told["address"] = address(errors);
    }
    if let Some(overlap) = field.overlap {
        told["overlap"] = json!(overlap);
    }
    told
}

/// A whole report.
pub(in crate::cli) fn report(project: &Project, report: &Report) -> Map<String, Json> {
    let fields: Map<String, Json> = report.fields.iter().map(|known| (known.field.to_string(), field(known))).collect();
    let told = json!({
        "samples": report.samples, "valid": share(&report.valid), "whole_answer": share(&report.whole),
        "whole_answer_interval": report.whole.interval, "fields": fields,
        "judgement": report.judgement.as_ref().map(|known| judgement(project, known)),
        "calibration": report.calibration.as_ref().map(calibration),
    });
    if let Json::Object(told) = told { told } else { Map::new() }
}

/// Whole answers or a field of a comparison; `a` and `b` are what the two are called.
fn side(side: &Side, [a, b]: [&str; 2]) -> Json {
    let test = &side.mcnemar;
    json!({
        a: share(&side.first), b: share(&side.second), "samples": side.first.of,
        format!("{a}_interval"): side.first.interval, format!("{b}_interval"): side.second.interval,
        "gain": side.gain, "gain_interval": side.gain_interval, "changed": share(&side.changed),
        format!("only_{a}"): test.only_first, format!("only_{b}"): test.only_second, "p": test.p, "test": test.test.name(),
    })
}

/// Everything of a comparison but what flipped.
pub(in crate::cli) fn comparison(comparison: &Comparison, names: [&str; 2]) -> Map<String, Json> {
    let id = |side: &Side| side.field.as_ref().map(FieldId::to_string).unwrap_or_default();
    let fields: Map<String, Json> = comparison.fields.iter().map(|known| (id(known), side(known, names))).collect();
    let told = json!({ "samples": comparison.samples, "whole_answer": side(&comparison.whole, names), "fields": fields });
    if let Json::Object(told) = told { told } else { Map::new() }
}

pub(in crate::cli) fn flip(flip: &Flip) -> Json {
    json!({
        "sample": flip.sample, "field": flip.field, "truth": flip.truth, "a": flip.from, "b": flip.to,
        "a_right": flip.right.map(|(a, _)| a), "b_right": flip.right.map(|(_, b)| b),
    })
}
