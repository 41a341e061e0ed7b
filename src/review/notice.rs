//! What the reviewer is told, in both languages; and the languages and colours themselves.

use super::message::Reason;
use super::{Action, Ending, Exported, Spot, Ungrouped};
use crate::domain::{ReviewerName, SampleId};

/// The interface's languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Japanese.
    Ja,
}

impl Language {
    /// The one or the other.
    pub fn choose<T>(self, en: T, ja: T) -> T {
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }

    /// An action's help.
    pub fn help(self, action: Action) -> &'static str {
        let spec = action.spec();
        self.choose(spec.en, spec.ja)
    }
}

/// The interface's colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Light on dark.
    #[default]
    Dark,
    /// Dark on light.
    Light,
    /// As far apart as can be.
    HighContrast,
}

impl Theme {
    /// The next one in turn.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::HighContrast,
            Self::HighContrast => Self::Dark,
        }
    }
}

/// Something that the reviewer is told. Texts from data are as they came: drawing makes them printable.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The action means nothing here.
    NotHere(Action),
    /// Nothing was accepted, since no frame has shown the sample.
    NotShownYet,
    /// Nothing was accepted, since a field is in doubt.
    StopsAt {
        /// The field's title.
        field: String,
        /// The broken rule, where it is one.
        rule: Option<String>,
    },
    /// The field takes something else.
    NotAllowed(String),
    /// The sample's decision is on its way.
    Saving,
    /// A decision was refused.
    Refused {
        /// Which sample.
        sample: SampleId,
        /// Why.
        reason: Reason,
    },
    /// A save failed; it will be tried again.
    NotSaved(String),
    /// The project may only be looked at.
    ReadOnly,
    /// Nothing has been fixed that could be repeated.
    NothingToRepeat,
    /// An undo or redo is done.
    Reverted {
        /// Samples that changed.
        samples: usize,
        /// Samples that others have decided on since.
        refused: usize,
    },
    /// Every sample of the queue is decided.
    AllDecided,
    /// Nothing is selected.
    NothingSelected,
    /// Rows of the range are still on their way.
    RangeOnItsWay,
    /// The selection would be too large.
    TooMany(usize),
    /// The preview leaves nothing to do.
    NothingToDo,
    /// A batch is on its way.
    BatchSent {
        /// Its samples.
        samples: usize,
        /// What the spot check found.
        spot: Spot,
    },
    /// A batch is durable.
    BatchSaved {
        /// Samples that changed.
        applied: usize,
        /// The first of the samples that were left alone, and why.
        refused: Vec<(SampleId, Reason)>,
        /// How many were left alone.
        left: usize,
    },
    /// The samples are not grouped, or not sorted, as was asked.
    Ungrouped(Ungrouped),
    /// Predictions differ from those of the source before.
    Flips(u64),
    /// Another reviewer holds the sample now.
    ClaimLost(ReviewerName),
    /// Quitting waits for so many saves.
    Waiting(usize),
    /// There is no such sample.
    NoSuchSample,
    /// The view was saved.
    ViewSaved(String),
    /// A training set was written, or could not be.
    Exported(Result<Exported, String>),
    /// A training is being started.
    TrainingSent(String),
    /// A training has begun, or could not.
    TrainingBegun(Result<String, String>),
    /// A training is asked to stop.
    StopAsked,
    /// A training has ended.
    TrainingEnded(String, Ending),
    /// What was trained has predicted.
    Changed {
        /// What was trained.
        name: String,
        /// How many predictions differ.
        count: u64,
    },
    /// Anything else, in words.
    Said(String),
}

fn exported(outcome: &Result<Exported, String>, language: Language) -> String {
    let Exported { path, conversations, changed, withdrawn, refused, first_refused } = match outcome {
        Ok(exported) => exported,
        Err(why) => return language.choose(format!("no training set was written: {why}"), format!("書き出せませんでした: {why}")),
    };
    let mut text = language.choose(
        format!("{conversations} conversations in {path}: {changed} new or changed, {withdrawn} withdrawn"),
        format!("{path} に会話 {conversations} 件(新規・変更 {changed} 件、取り下げ {withdrawn} 件)"),
    );
    if let Some((sample, why)) = first_refused {
        text += &language.choose(format!("; {refused} left out: {sample} ({why})"), format!("、除外 {refused} 件: {sample}({why})"));
    }
    text
}

fn ended(name: &str, ending: &Ending, language: Language) -> String {
    match ending {
        Ending::Trained { predicts: true } => {
            language.choose(format!("{name} is trained, and predicts now"), format!("{name} の学習が完了し、予測を始めました"))
        }
        Ending::Trained { predicts: false } => language.choose(format!("{name} is trained"), format!("{name} の学習が完了しました")),
        Ending::Stopped(steps) => language.choose(
            format!("the training of {name} was stopped after {steps} steps; it can be taken up again among the tasks"),
            format!("{name} の学習を {steps} ステップで停止しました(処理状況から再開できます)"),
        ),
        Ending::Failed(why) => language.choose(format!("{name} was not trained: {why}"), format!("{name} の学習に失敗しました: {why}")),
    }
}

fn reason(reason: &Reason, language: Language) -> String {
    match reason {
        Reason::Stale { by, .. } => language.choose(format!("{by} has changed it since"), format!("{by} さんが先に変更しました")),
        Reason::Claimed { by } => language.choose(format!("{by} is looking at it"), format!("{by} さんが確認中です")),
        Reason::ImageChanged(path) => {
            language.choose(format!("its image {path} is another one now"), format!("画像 {path} が変わっています"))
        }
        Reason::Other(text) => text.clone(),
    }
}

impl Notice {
    /// The notice in words.
    pub fn text(&self, language: Language) -> String {
        let say = |en: &str, ja: &str| language.choose(en, ja).to_owned();
        match self {
            Self::NotHere(action) => language.choose(format!("{action} does nothing here"), format!("{action} はここでは使えません")),
            Self::NotShownYet => say("not accepted: this sample was not on the screen yet", "まだ表示されていないため承認していません"),
            Self::StopsAt { field, rule: None } => {
                language.choose(format!("choose a value for {field}"), format!("{field} の値を選んでください"))
            }
            Self::StopsAt { field, rule: Some(rule) } => format!("{field}: {rule}"),
            Self::NotAllowed(expected) => language.choose(format!("expected {expected}"), format!("使える値: {expected}")),
            Self::Saving => say("still being saved", "保存中です"),
            Self::Refused { sample, reason: why } => {
                let why = reason(why, language);
                language.choose(format!("{sample} was not saved: {why}"), format!("{sample} は保存されませんでした: {why}"))
            }
            Self::NotSaved(error) => {
                language.choose(format!("not saved yet, trying again: {error}"), format!("未保存、再試行します: {error}"))
            }
            Self::ReadOnly => say("this project is open for reading only", "このプロジェクトは閲覧専用です"),
            Self::NothingToRepeat => say("nothing has been fixed yet", "繰り返す修正がありません"),
            Self::Reverted { samples, refused: 0 } => language.choose(format!("{samples} reverted"), format!("{samples} 件を戻しました")),
            Self::Reverted { samples, refused } => language.choose(
                format!("{samples} reverted; {refused} left, decided by others since"),
                format!("{samples} 件を戻しました。{refused} 件は他の人が変更済みです"),
            ),
            Self::AllDecided => say("every sample of this queue is decided", "この一覧はすべて決定済みです"),
            Self::NothingSelected => say("nothing is selected", "何も選択されていません"),
            Self::RangeOnItsWay => {
                say("rows of the range are still being loaded; once more, please", "範囲を読み込み中です。もう一度押してください")
            }
            Self::TooMany(most) => language
                .choose(format!("at most {most} at once; narrow the filter"), format!("一度に {most} 件までです。絞り込んでください")),
            Self::NothingToDo => say("nothing would change", "変更するものがありません"),
            Self::BatchSent { samples, spot } => {
                let sent = language.choose(format!("saving {samples}"), format!("{samples} 件を保存中"));
                match spot.estimate() {
                    None => sent,
                    Some((share, most)) => {
                        let (share, most) = (share * 100.0, most * 100.0);
                        let found = language.choose("estimated error", "推定誤り率");
                        format!("{sent}; {found} {share:.1} % (≤ {most:.1} %)")
                    }
                }
            }
            Self::BatchSaved { applied, refused, left } => {
                let mut text = language.choose(format!("{applied} saved"), format!("{applied} 件を保存しました"));
                if *left > 0 {
                    text += &language.choose(format!(", {left} left alone: "), format!("、{left} 件はそのまま: "));
                    let each = refused.iter().map(|(sample, why)| format!("{sample} ({})", reason(why, language)));
                    text += &each.collect::<Vec<_>>().join(", ");
                }
                text
            }
            Self::Ungrouped(Ungrouped::NotCompared) => say(
                "no pictures have been compared yet; 'mekiki similar' does that, then group again",
                "画像がまだ比較されていません。'mekiki similar' を実行してから分類し直してください",
            ),
            Self::Ungrouped(Ungrouped::TooMany(most)) => language.choose(
                format!("more than {most} samples cannot be grouped by answer; narrow the filter"),
                format!("回答別に分類できるのは {most} 件までです。絞り込んでください"),
            ),
            Self::Flips(count) => language.choose(format!("{count} predictions differ"), format!("予測が {count} 件変わりました")),
            Self::ClaimLost(by) => {
                language.choose(format!("{by} is looking at this sample too"), format!("{by} さんもこの試料を見ています"))
            }
            Self::Waiting(saves) => language.choose(format!("waiting for {saves} saves"), format!("保存を待っています({saves} 件)")),
            Self::NoSuchSample => say("no such sample in this queue", "この一覧にその試料はありません"),
            Self::ViewSaved(name) => language.choose(format!("saved as {name}"), format!("{name} として保存しました")),
            Self::Exported(outcome) => exported(outcome, language),
            Self::TrainingSent(name) => {
                language.choose(format!("the training of {name} is being started"), format!("{name} の学習を開始しています"))
            }
            Self::TrainingBegun(Ok(name)) => language.choose(
                format!("{name} is being trained, also when this program ends"),
                format!("{name} を学習中です(このプログラムを終了しても続きます)"),
            ),
            Self::TrainingBegun(Err(why)) => {
                language.choose(format!("nothing is trained: {why}"), format!("学習を開始できませんでした: {why}"))
            }
            Self::StopAsked => say(
                "the training stops when its step is made, with a checkpoint",
                "学習は現在のステップの後、チェックポイントを残して停止します",
            ),
            Self::TrainingEnded(name, ending) => ended(name, ending, language),
            Self::Changed { name, count } => language.choose(
                format!("{name} says something else of {count} samples; open-changes shows them"),
                format!("{name} で {count} 件の予測が変わりました(open-changes で表示)"),
            ),
            Self::Said(text) => text.clone(),
        }
    }
}

/// A notice, and since when it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Posted {
    /// What is said.
    pub notice: Notice,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
}

/// The notices on the screen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Notices {
    posted: Vec<Posted>,
}

/// How long a notice stays, in milliseconds.
const STAYS_MS: i64 = 8_000;
/// The most notices at once.
const MOST: usize = 5;

impl Notices {
    /// Says something; what is said again is said anew.
    pub fn post(&mut self, notice: Notice, since_ms: i64) {
        self.posted.retain(|posted| posted.notice != notice);
        self.posted.push(Posted { notice, since_ms });
        let over = self.posted.len().saturating_sub(MOST);
        self.posted.drain(..over);
    }

    /// Takes away what has been shown long enough.
    pub fn expire(&mut self, now_ms: i64) {
        self.posted.retain(|posted| now_ms - posted.since_ms < STAYS_MS);
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        self.posted.clear();
    }

    /// The notices, newest last.
    pub fn posted(&self) -> &[Posted] {
        &self.posted
    }
}
