//! What a person can mean: each action once, with its name, its help and the scopes in which it makes sense.
//!
//! Keymaps, palette and help are made from [`SPECS`]. That names differ is checked when this file is compiled.

use std::fmt;

use super::Scope;

/// What the table says of one action.
#[derive(Debug)]
pub struct Spec {
    /// The name in keymap files.
    pub name: &'static str,
    /// Where the action makes sense; also in every scope within.
    pub scopes: &'static [Scope],
    /// What it does, in English.
    pub en: &'static str,
    /// What it does, in Japanese.
    pub ja: &'static str,
    /// The action itself, or the actions.
    pub make: Make,
}

/// How an action is made from its name.
#[derive(Debug)]
pub enum Make {
    /// By its name alone.
    Plain(Action),
    /// By its name and a number.
    Numbered {
        /// The smallest number.
        least: u8,
        /// The largest number.
        most: u8,
        /// The action with that number.
        make: fn(u8) -> Action,
    },
}

impl Make {
    /// Every action that is made so.
    pub fn actions(&self) -> Vec<Action> {
        match self {
            Self::Plain(action) => vec![*action],
            Self::Numbered { least, most, make } => (*least..=*most).map(make).collect(),
        }
    }
}

macro_rules! number {
    ($least:literal) => {
        u8
    };
}

macro_rules! make {
    ($variant:ident) => {
        Make::Plain(Action::$variant)
    };
    ($variant:ident $least:literal $most:literal) => {
        Make::Numbered { least: $least, most: $most, make: Action::$variant }
    };
}

macro_rules! actions {
    ($($variant:ident $(($least:literal..=$most:literal))? $name:literal [$($scope:ident)+] $en:literal $ja:literal;)+) => {
        /// What a person means by a key, a click or a line of the palette.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $(#[doc = $en] $variant $((number!($least)))?,)+
        }

        /// The places of the actions in the table.
        #[derive(Clone, Copy)]
        enum Place { $($variant,)+ }

        /// Every action.
        pub const SPECS: &[Spec] = &[$(Spec {
            name: $name,
            scopes: &[$(Scope::$scope),+],
            en: $en,
            ja: $ja,
            make: make!($variant $($least $most)?),
        }),+];

        impl Action {
            /// What the table says of it.
            pub fn spec(self) -> &'static Spec {
                &SPECS[match self { $(Self::$variant { .. } => Place::$variant,)+ } as usize]
            }

            /// The number that goes with it, where one does.
            pub fn number(self) -> Option<u8> {
                match self {
                    $($(Self::$variant(number) if number >= $least => Some(number),)?)+
                    _ => None,
                }
            }
        }
    };
}

actions! {
    // Verdicts.
    Accept "accept" [Sample] "accept every field and go on" "すべて承認して次へ";
    AcceptField "accept-field" [Sample] "accept the field" "この項目を承認";
    TakeLabel "take-label" [Sample] "keep the label's value" "ラベルの値を残す";
    TakePrediction "take-prediction" [Sample] "take the prediction's value" "予測の値を採る";
    Reject "reject" [Sample] "keep the sample out of the training set" "学習データから除く";
    Skip "skip" [Sample] "go on without a decision" "決めずに次へ";
    Flag "flag" [Sample] "mark for a second look, or take the mark away" "再確認の印を付ける・外す";
    Comment "comment" [Sample] "write a remark" "コメントを書く";
    Reopen "reopen" [Sample] "take the decision back" "決定を取り消して再び開く";
    RepeatFix "repeat-fix" [Sample] "repeat the last fix" "直前の修正を繰り返す";
    PredictSample "predict-sample" [Sample] "predict this sample first" "この試料を先に予測";
    // Fields.
    ChooseOption(1..=20) "choose-option" [Sample] "choose an option by its number" "番号で選択肢を選ぶ";
    FocusField(1..=20) "focus-field" [Sample] "go to a field by its number" "番号で項目へ移動";
    NextField "next-field" [Sample] "next field" "次の項目";
    PreviousField "previous-field" [Sample] "previous field" "前の項目";
    EditField "edit-field" [Sample] "type the field's value" "項目の値を入力";
    SetNone "set-none" [Sample] "set the field to none" "項目を「なし」にする";
    ClearField "clear-field" [Sample] "leave the field open" "項目を空にする";
    Increase "increase" [Sample] "one more, or the next option" "一つ増やす・次の選択肢";
    Decrease "decrease" [Sample] "one less, or the previous option" "一つ減らす・前の選択肢";
    BoxLeft "box-left" [Box] "move the box to the left" "枠を左へ";
    BoxRight "box-right" [Box] "move the box to the right" "枠を右へ";
    BoxUp "box-up" [Box] "move the box up" "枠を上へ";
    BoxDown "box-down" [Box] "move the box down" "枠を下へ";
    BoxWider "box-wider" [Box] "make the box wider" "枠を広げる";
    BoxNarrower "box-narrower" [Box] "make the box narrower" "枠を狭める";
    BoxTaller "box-taller" [Box] "make the box taller" "枠を高くする";
    BoxShorter "box-shorter" [Box] "make the box shorter" "枠を低くする";
    BoxStep "box-step" [Box] "fine or coarse steps" "細かい・粗い刻みの切り替え";
    // Moving between samples.
    NextSample "next-sample" [Sample] "next sample" "次の試料";
    PreviousSample "previous-sample" [Sample] "previous sample" "前の試料";
    NextUndecided "next-undecided" [Global] "next undecided sample" "次の未決の試料";
    PreviousUndecided "previous-undecided" [Global] "previous undecided sample" "前の未決の試料";
    FirstSample "first-sample" [Sample] "first sample" "最初の試料";
    LastSample "last-sample" [Sample] "last sample" "最後の試料";
    JumpTo "jump-to" [Global] "go to a sample by its id" "ID で試料へ移動";
    // Looking closer.
    ZoomIn "zoom-in" [Sample] "zoom in" "拡大";
    ZoomOut "zoom-out" [Sample] "zoom out" "縮小";
    ZoomPixels "zoom-pixels" [Sample] "real pixels, or the whole picture" "等倍・全体の切り替え";
    PanLeft "pan-left" [Sample] "look further left" "左へ移動";
    PanRight "pan-right" [Sample] "look further right" "右へ移動";
    PanUp "pan-up" [Sample] "look further up" "上へ移動";
    PanDown "pan-down" [Sample] "look further down" "下へ移動";
    Blink "blink" [Sample] "flip reference and query" "参照と検査対象を切り替え";
    Difference "difference" [Sample] "difference of reference and query" "参照との差分";
    Grid "grid" [Sample] "address grid" "番地の格子";
    Overlay "overlay" [Sample] "boxes on the picture" "枠の表示";
    FullScreen "full-screen" [Sample] "picture over the whole screen" "画像を全画面に";
    ContrastUp "contrast-up" [Sample] "more contrast" "コントラストを上げる";
    ContrastDown "contrast-down" [Sample] "less contrast" "コントラストを下げる";
    BrightnessUp "brightness-up" [Sample] "brighter" "明るくする";
    BrightnessDown "brightness-down" [Sample] "darker" "暗くする";
    ResetLook "reset-look" [Sample] "show the picture as it is" "表示を元に戻す";
    // Lists.
    Up "up" [Sheet Queue Stats Tasks Picker Help Confirm] "up" "上";
    Down "down" [Sheet Queue Stats Tasks Picker Help Confirm] "down" "下";
    Left "left" [Sheet Stats] "left" "左";
    Right "right" [Sheet Stats] "right" "右";
    PageUp "page-up" [Sheet Queue Stats Tasks Picker Help Confirm] "one page up" "前のページ";
    PageDown "page-down" [Sheet Queue Stats Tasks Picker Help Confirm] "one page down" "次のページ";
    First "first" [Sheet Queue Stats Tasks Picker Help Confirm] "first line" "先頭";
    Last "last" [Sheet Queue Stats Tasks Picker Help Confirm] "last line" "末尾";
    Open "open" [Sheet Queue Stats] "open what the cursor is on" "選んだものを開く";
    // Selections.
    Select "select" [Sheet Queue] "select or unselect, and go on" "選択・解除して次へ";
    SelectRange "select-range" [Sheet Queue] "begin or end a range" "範囲選択の開始・終了";
    SelectAll "select-all" [Sheet Queue] "select all" "すべて選択";
    SelectInvert "select-invert" [Sheet Queue] "invert the selection" "選択を反転";
    SelectNone "select-none" [Sheet Queue] "select nothing" "選択を解除";
    ApproveSelection "approve-selection" [Sheet Queue] "approve the selection, after a preview" "選択を承認(確認あり)";
    SetSelection "set-selection" [Sheet Queue] "set one field of the selection, after a preview" "選択の項目を一括設定(確認あり)";
    PredictSelection "predict-selection" [Sheet Queue] "predict the selection first" "選択を先に予測";
    GroupBy "group-by" [Sheet] "group by answer, by likeness, or not at all" "回答別・類似度別・なしで分類";
    OutliersFirst "outliers-first" [Sheet] "outliers first" "外れ値を先頭に";
    SpotCheck "spot-check" [Confirm] "look at a random share first (a count gives the percent)" "無作為に一部を先に確認(数で割合)";
    Confirm "confirm" [Confirm] "do it" "実行";
    // The queue.
    Filter "filter" [Global] "filter the samples" "試料を絞り込む";
    ClearFilter "clear-filter" [Global] "show all samples" "絞り込みを解除";
    SortBy "sort-by" [Global] "sort the samples" "並べ替え";
    SortAgain "sort-again" [Global] "sort again, with what has arrived since" "届いた予測で並べ直す";
    Views "views" [Global] "open a saved view" "保存した表示を開く";
    SaveView "save-view" [Global] "save this filter as a view" "この絞り込みを保存";
    // Screens.
    SampleScreen "sample-screen" [Global] "one sample" "試料の画面";
    SheetScreen "sheet-screen" [Global] "contact sheet" "一覧(サムネイル)";
    QueueScreen "queue-screen" [Global] "list of samples" "試料の一覧";
    StatsScreen "stats-screen" [Global] "statistics" "統計";
    TasksScreen "tasks-screen" [Global] "tasks: predictions, trainings, exports" "処理状況(予測・学習・書き出し)";
    NextTab "next-tab" [Stats] "next field's statistics" "次の項目の統計";
    PreviousTab "previous-tab" [Stats] "previous field's statistics" "前の項目の統計";
    CancelTask "cancel-task" [Tasks] "cancel the task" "処理を中止";
    RaiseTask "raise-task" [Tasks] "do the task first" "処理を優先";
    // What is predicted with.
    SwitchModel "switch-model" [Global] "switch the model" "モデルを切り替え";
    SwitchAdapter "switch-adapter" [Global] "switch the adapter" "アダプタを切り替え";
    SwitchInstruction "switch-instruction" [Global] "switch the instruction" "指示文を切り替え";
    SwitchExemplar "switch-exemplar" [Global] "switch the exemplar" "例示を切り替え";
    SwitchKind "switch-kind" [Global] "switch between zero-shot and one-shot" "zero-shot・one-shot を切り替え";
    OpenFlips "open-flips" [Global] "the samples whose prediction flipped" "予測が変わった試料を開く";
    // The loop.
    Export "export" [Global] "write the training set" "学習データを書き出す";
    TrainAdapter "train-adapter" [Global] "train an adapter on what is approved" "承認済みデータでアダプタを学習";
    OpenChanges "open-changes" [Global] "use what was trained, and open what it says otherwise" "学習したものに切り替え、変わった予測を開く";
    ShowConversation "show-conversation" [Sample] "the conversation as it will be written" "書き出される会話を表示";
    ShowInstruction "show-instruction" [Sample] "the instruction" "指示文を表示";
    // Everywhere.
    Undo "undo" [Global] "undo" "元に戻す";
    Redo "redo" [Global] "redo" "やり直す";
    Palette "palette" [Global] "every command" "すべての操作";
    Help "help" [Global] "the keys in force" "使えるキー";
    Theme "theme" [Global] "switch the theme" "配色を切り替え";
    Language "language" [Global] "English or Japanese" "日本語・英語を切り替え";
    Suspend "suspend" [Global] "back to the shell for a while" "一時停止してシェルへ";
    Quit "quit" [Global] "quit, when everything is saved" "保存を待って終了";
    Back "back" [Global Input Help Confirm] "back, or cancel" "戻る・取り消し";
    // A line of text.
    Commit "commit" [Input] "take what is typed" "入力を確定";
    Complete "complete" [Input] "complete the word" "補完";
    EraseBack "erase-back" [Input] "erase the character before" "前の文字を消す";
    EraseForward "erase-forward" [Input] "erase the character behind" "後の文字を消す";
    EraseWord "erase-word" [Input] "erase the word before" "前の単語を消す";
    EraseLine "erase-line" [Input] "erase the line" "行を消す";
    CursorLeft "cursor-left" [Input] "cursor to the left" "カーソルを左へ";
    CursorRight "cursor-right" [Input] "cursor to the right" "カーソルを右へ";
    CursorWordLeft "cursor-word-left" [Input] "cursor one word to the left" "カーソルを前の単語へ";
    CursorWordRight "cursor-word-right" [Input] "cursor one word to the right" "カーソルを次の単語へ";
    CursorHome "cursor-home" [Input] "cursor to the beginning" "カーソルを先頭へ";
    CursorEnd "cursor-end" [Input] "cursor to the end" "カーソルを末尾へ";
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

// Two actions with one name do not compile.
const _: () = {
    let mut i = 0;
    while i < SPECS.len() {
        let mut j = i + 1;
        while j < SPECS.len() {
            assert!(!same(SPECS[i].name, SPECS[j].name), "two actions have the same name");
            j += 1;
        }
        i += 1;
    }
};

impl Action {
    /// Every action, each number of a numbered one.
    pub fn all() -> impl Iterator<Item = Self> {
        SPECS.iter().flat_map(|spec| spec.make.actions())
    }

    /// The action that is written so: `accept`, `choose-option 3`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let name = words.next()?;
        let number: Option<u8> = words.next().map(str::parse).transpose().ok()?;
        let spec = SPECS.iter().find(|spec| spec.name == name).filter(|_| words.next().is_none())?;
        match (&spec.make, number) {
            (Make::Plain(action), None) => Some(*action),
            (Make::Numbered { least, most, make }, Some(number)) => (least..=most).contains(&&number).then(|| make(number)),
            _ => None,
        }
    }

    /// Whether it changes the project, or what others see of it.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::Accept
                | Self::AcceptField
                | Self::Reject
                | Self::Flag
                | Self::Comment
                | Self::Reopen
                | Self::PredictSample
                | Self::PredictSelection
                | Self::ApproveSelection
                | Self::SetSelection
                | Self::SwitchModel
                | Self::SwitchAdapter
                | Self::SwitchInstruction
                | Self::SwitchExemplar
                | Self::SwitchKind
                | Self::Export
                | Self::TrainAdapter
                | Self::OpenChanges
                | Self::Undo
                | Self::Redo
        )
    }

    /// Whether it makes sense in the scope.
    pub fn fits(self, scope: Scope) -> bool {
        scope.chain().any(|scope| self.spec().scopes.contains(&scope))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)?;
        self.number().map_or(Ok(()), |number| write!(f, " {number}"))
    }
}
