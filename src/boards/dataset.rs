//! Sets of boards as a reviewer meets them: some labelled wrong, some not at all, the truth known.

use super::dice::Dice;
use super::{BoardMix, BoardSpec, COLUMNS, DefectMode, ROWS};
use crate::domain::Address;

/// What a set of boards holds.
#[derive(Debug, Clone, Copy)]
pub struct DatasetPlan<'a> {
    /// Decides everything else.
    pub seed: u64,
    /// How many boards.
    pub count: u64,
    /// Types, modes and the share of defects.
    pub mix: BoardMix<'a>,
    /// Share of boards that come without a label, 0..=1.
    pub unlabelled: f32,
    /// Share of the labels that are deliberately wrong, 0..=1.
    pub wrong: f32,
    /// Boards of one lot, which is their group.
    pub lot: u64,
}

/// What is said of a board: its defect, or none on a good one.
pub type Finding = Option<(DefectMode, Address)>;

/// One board of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetBoard {
    /// Unique in the set: type and number, for example `raw-0017`.
    pub id: String,
    /// Its lot, for example `lot-03`.
    pub group: String,
    /// How it looks; its defect is the truth.
    pub spec: BoardSpec,
    /// What its label says; `None` without a label.
    pub label: Option<Finding>,
}

impl DatasetPlan<'_> {
    /// Board number `index` of the set, from 0. It depends on no other board.
    pub fn board(&self, index: u64) -> DatasetBoard {
        let spec = BoardSpec::random(self.seed, index, &self.mix);
        let mut dice = Dice::new(spec.seed, "label");
        let truth = spec.defect;
        let label = if dice.chance(self.unlabelled) {
            None
        } else if dice.chance(self.wrong) {
            Some(mistaken(truth, self.mix.modes, &mut dice))
        } else {
            Some(truth)
        };
        let short = spec.board_type.id().rsplit('_').next().unwrap_or_default().to_lowercase();
        DatasetBoard { id: format!("{short}-{:04}", index + 1), group: format!("lot-{:02}", index / self.lot.max(1) + 1), spec, label }
    }
}

/// Another finding than the true one, of the kinds people get wrong: overlooked, imagined, another mode, another pin.
fn mistaken(truth: Finding, modes: &[DefectMode], dice: &mut Dice) -> Finding {
    let any_pin = |dice: &mut Dice| Address { row: dice.pick(ROWS) as u8, column: dice.pick(COLUMNS) as u8 };
    let Some((mode, address)) = truth else {
        let mode = modes.get(dice.pick(modes.len().max(1)))?;
        return Some((*mode, any_pin(dice)));
    };
    let others: Vec<DefectMode> = modes.iter().copied().filter(|other| *other != mode).collect();
    match dice.pick(4) {
        0 => None,
        1 if !others.is_empty() => Some((others[dice.pick(others.len())], address)),
        _ => {
            // The neighbour in the row, which is how addresses are misread.
            let column = if address.column == 0 { 1 } else { address.column - 1 };
            Some((mode, Address { row: address.row, column }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_wrong_labels_are_wrong() {
        let modes = &DefectMode::ALL[..8];
        let plan =
            DatasetPlan { seed: 3, count: 4000, mix: BoardMix { modes, defective: 0.6, width: 448 }, unlabelled: 0.25, wrong: 0.1, lot: 8 };
        let boards: Vec<DatasetBoard> = (0..plan.count).map(|index| plan.board(index)).collect();
        let unlabelled = boards.iter().filter(|board| board.label.is_none()).count();
        let wrong = boards.iter().filter(|board| board.label.is_some_and(|label| label != board.spec.defect)).count();
        assert!((900..1100).contains(&unlabelled), "{unlabelled}");
        assert!((240..360).contains(&wrong), "{wrong}");
        assert_eq!(boards[17].group, "lot-03");
        assert_eq!(plan.board(17), boards[17]);
        let perfect = DatasetPlan { unlabelled: 0.0, wrong: 0.0, ..plan };
        assert!((0..100).map(|index| perfect.board(index)).all(|board| board.label == Some(board.spec.defect)));
    }
}
