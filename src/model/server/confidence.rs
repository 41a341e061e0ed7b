//! From a server's log-probabilities to every field's probabilities. What they mean is said in [`super`].

use std::collections::BTreeMap;

use super::pattern::between;
use crate::conversation::AnswerTemplate;
use crate::domain::{Field, FieldId, FieldPrediction, Label, Schema, Value};
use crate::model::decide::rules::Rules;

/// A token of an answer, with what the server says of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    /// The bytes that it spells.
    pub(super) bytes: Vec<u8>,
    /// The natural logarithm of its probability.
    pub(super) log: f32,
    /// The likeliest tokens at its place, itself among them or not, each with the logarithm of its probability.
    pub(super) others: Vec<(Vec<u8>, f32)>,
}

/// Where an answer's tokens and values stand.
struct Written<'a> {
    text: &'a [u8],
    /// Each token with the byte at which it begins.
    tokens: Vec<(usize, &'a Token)>,
}

/// The fields of an answer that was read as `label`. Without log-probabilities that fit the text, and where the answer is not
/// written as it is trained, the fields have values and no probabilities.
pub(super) fn fields(
    schema: &Schema,
    template: &AnswerTemplate,
    label: &Label,
    text: &str,
    tokens: &[Token],
) -> BTreeMap<FieldId, FieldPrediction> {
    let bare =
        |(id, value): (&FieldId, &Value)| (id.clone(), FieldPrediction { value: value.clone(), probabilities: Vec::new(), outside: 0.0 });
    let mut predicted: BTreeMap<FieldId, FieldPrediction> = label.iter().map(bare).collect();
    let listed: Vec<Field> = template.fields().cloned().collect();
    let (Ok((canonical, spans)), Some(between)) = (template.render_spans(label), between(template, &listed)) else { return predicted };
    // With a field left out, the places of the others' neighbours are not those of a whole answer.
    if canonical != text || spans.len() != listed.len() {
        return predicted;
    }
    let Some(written) = Written::new(text, tokens) else { return predicted };
    let rules = Rules::new(schema, &listed);
    let mut decided = vec![None; listed.len()];
    for (at, (field, (id, span))) in listed.iter().zip(spans).enumerate() {
        let Some(value) = label.get(&id) else { continue };
        let allowed: Option<Vec<Value>> = field.values().map(|values| {
            values
                .into_iter()
                .filter(|value| {
                    decided[at] = rules.class(at, value);
                    rules.completable(&decided)
                })
                .collect()
        });
        let told = match allowed.filter(|allowed| allowed.contains(value)) {
            Some(allowed) => written.listed(field, value, &allowed, span.start, &between[at + 1]),
            None => written.alone(value, span.start, span.end),
        };
        decided[at] = rules.class(at, value);
        if let Some(told) = told {
            predicted.insert(id, told);
        }
    }
    predicted
}

impl<'a> Written<'a> {
    /// Lays tokens over the text; `None` where they do not spell it.
    fn new(text: &'a str, tokens: &'a [Token]) -> Option<Self> {
        let spelled: Vec<u8> = tokens.iter().flat_map(|token| token.bytes.iter().copied()).collect();
        let text = text.as_bytes();
        // Servers may take white space away around the text, and tell of the token that ends the turn.
        let lead = spelled.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let first = if spelled.starts_with(text) { 0 } else { lead };
        let spells = !text.is_empty() && spelled.get(first..).is_some_and(|rest| rest.starts_with(text));
        let mut end = 0;
        let placed = tokens.iter().map(|token| {
            let start = end;
            end += token.bytes.len();
            (start, token)
        });
        // A token that begins before the text spells more than the text: nothing can be said of it.
        let tokens: Vec<(usize, &Token)> =
            placed.filter(|(start, _)| *start >= first).map(|(start, token)| (start - first, token)).collect();
        let numbers = tokens.iter().all(|(_, token)| token.log.is_finite() && token.log <= 1e-3);
        (spells && numbers && tokens.first().is_some_and(|(start, _)| *start == 0)).then_some(Self { text, tokens })
    }

    /// The tokens from the one that holds byte `from` to the one that holds byte `to`, the last one at the text's end.
    fn over(&self, from: usize, to: usize) -> &[(usize, &'a Token)] {
        let first = self.tokens.partition_point(|(start, token)| start + token.bytes.len() <= from);
        let last = self.tokens.partition_point(|(start, _)| *start <= to);
        self.tokens.get(first..last).unwrap_or_default()
    }

    /// A field with few values: the one that was said, and what the alternatives of its tokens could still have become.
    fn listed(&self, field: &Field, value: &Value, allowed: &[Value], start: usize, behind: &str) -> Option<FieldPrediction> {
        let spelled: Vec<Vec<u8>> =
            allowed.iter().map(|value| [&self.text[..start], field.render(value).as_bytes(), behind.as_bytes()].concat()).collect();
        let said = allowed.iter().position(|known| known == value)?;
        let end = start + field.render(value).len();
        let mut masses = vec![0.0_f64; allowed.len()];
        let mut log = 0.0_f64;
        for (at, token) in self.over(start, end) {
            for (other, alternative) in &token.others {
                if other.is_empty() || *other == token.bytes || !alternative.is_finite() {
                    continue;
                }
                let begun = [&self.text[..*at], other.as_slice()].concat();
                let fits = |text: &&Vec<u8>| text.starts_with(&begun) || begun.starts_with(text);
                let could: Vec<usize> = (0..spelled.len()).filter(|index| fits(&&spelled[*index])).collect();
                for index in &could {
                    masses[*index] += (log + f64::from(*alternative)).exp() / could.len() as f64;
                }
            }
            log += f64::from(token.log.min(0.0));
        }
        masses[said] += log.exp();
        let sum: f64 = masses.iter().sum();
        if sum <= 0.0 || !sum.is_finite() {
            return None;
        }
        let share = |mass: &f64| (mass / sum).min(1.0) as f32;
        let mut probabilities: Vec<(Value, f32)> = allowed.iter().cloned().zip(masses.iter().map(share)).collect();
        probabilities.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Some(FieldPrediction { value: value.clone(), probabilities, outside: (1.0 - sum).clamp(0.0, 1.0) as f32 })
    }

    /// A field with too many values to list: the probability of what was said.
    fn alone(&self, value: &Value, start: usize, end: usize) -> Option<FieldPrediction> {
        let over = self.over(start, end);
        let log: f64 = over.iter().map(|(_, token)| f64::from(token.log.min(0.0))).sum();
        (!over.is_empty()).then(|| FieldPrediction {
            value: value.clone(),
            probabilities: vec![(value.clone(), log.exp() as f32)],
            outside: 0.0,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::server::testing::pins;

    const ANSWER: &str =
        "- image type->CYLN_DST\n- quantity of pins->27 pcs\n- your judgement->defective\n- defect mode->scratch\n- defect position->U3";

    /// The answer in the given pieces, all of them certain.
    fn tokens(pieces: &[&str]) -> Vec<Token> {
        pieces.iter().map(|piece| Token { bytes: piece.as_bytes().to_vec(), log: 0.0, others: Vec::new() }).collect()
    }

    fn doubt(token: &mut Token, p: f32, others: &[(&str, f32)]) {
        token.log = p.ln();
        token.others = others.iter().map(|(text, p)| (text.as_bytes().to_vec(), p.ln())).collect();
    }

    fn told(tokens: &[Token], text: &str) -> BTreeMap<FieldId, FieldPrediction> {
        let (schema, template) = pins();
        let read = template.parse(text);
        assert_eq!(read.problems, []);
        fields(&schema, &template, &read.label, text, tokens)
    }

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-5
    }

    #[test]
    fn each_alternative_goes_to_the_values_that_it_could_become() {
        let (head, rest) = ANSWER.split_once("defective").unwrap();
        let mut said = tokens(&[head, "def", "ective", "\n- defect mode->", "sc", "ratch\n- defect position->", "U", "3", "<|im_end|>"]);
        assert!(rest.starts_with("\n- defect mode->scratch"));
        doubt(&mut said[1], 0.7, &[("def", 0.7), ("pass", 0.2), ("?", 0.1)]);
        doubt(&mut said[6], 0.5, &[("U", 0.5), ("C", 0.27), ("none", 0.03)]);
        doubt(&mut said[7], 0.8, &[("1", 0.1), ("3", 0.8)]);
        let told = told(&said, ANSWER);
        let of = |id: &str, text: &str| {
            let field = pins().0.field_named(id).unwrap().clone();
            told[&field.id].probability(&field.parse(text).unwrap())
        };
        assert!(near(of("judgement", "defective"), 0.7 / 0.9) && near(of("judgement", "passed"), 0.2 / 0.9));
        assert!(near(told[&FieldId::new("judgement").unwrap()].outside, 0.1));
        // U3 has 0.5 · 0.8, U1 0.5 · 0.1, the nine addresses of C share 0.27, none is ruled out by the judgement.
        let sum = 0.4 + 0.05 + 0.27;
        assert!(near(of("position", "U3"), 0.4 / sum), "{told:?}");
        assert!(near(of("position", "U1"), 0.05 / sum) && near(of("position", "C7"), 0.03 / sum) && near(of("position", "none"), 0.0));
        assert!(near(told[&FieldId::new("position").unwrap()].outside, 1.0 - sum));
        for field in told.values() {
            assert!(near(field.probabilities.iter().map(|(_, p)| p).sum(), 1.0));
        }
    }

    #[test]
    fn what_cannot_be_laid_over_the_text_has_no_probabilities() {
        let bare = |told: BTreeMap<FieldId, FieldPrediction>| told.len() == 5 && told.values().all(|field| field.probabilities.is_empty());
        assert!(bare(told(&[], ANSWER)));
        assert!(bare(told(&tokens(&["- image type->CYLN_RAW"]), ANSWER)));
        let mut broken = tokens(&[ANSWER]);
        broken[0].log = f32::NAN;
        assert!(bare(told(&broken, ANSWER)));
        assert!(!bare(told(&tokens(&["\n ", ANSWER]), ANSWER)));
        let loose = ANSWER.replace("->", ": ");
        assert!(bare(told(&tokens(&[&loose]), &loose)));
    }
}
