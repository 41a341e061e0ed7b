//! Chords, keymaps, conflicts, hints, help.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use mekiki::keys::*;
use mekiki::review::*;
use proptest::prelude::*;

fn problems(text: &str) -> Vec<String> {
    Keymap::parse(text, "my.toml").unwrap_err().iter().map(ToString::to_string).collect()
}

fn context(scope: Scope) -> Context {
    Context { scope, typing: Typing::Nothing }
}

fn chord(text: &str) -> Chord {
    Chord::parse(text).unwrap()
}

#[test]
fn every_built_in_keymap_loads_and_covers_every_action() {
    for (name, _) in BUILT_IN {
        let keymap = Keymap::built_in(name).unwrap_or_else(|problems| panic!("{name}: {}", problems[0])).unwrap();
        let bound: BTreeSet<Action> =
            Scope::ALL.into_iter().flat_map(|scope| keymap.bindings(scope)).map(|(_, action, _)| action).collect();
        for spec in SPECS {
            assert!(spec.make.actions().iter().any(|action| bound.contains(action)), "{name} has no key for {}", spec.name);
        }
    }
    assert_eq!(Keymap::built_in("emacs"), Ok(None));
}

#[test]
fn the_keys_people_know() {
    let cases = [
        ("default", Scope::Choice, "a", "accept"),
        ("default", Scope::Address, "x", "reject"),
        ("default", Scope::Sample, "3", "choose-option 3"),
        ("default", Scope::Sheet, "A", "approve-selection"),
        ("default", Scope::Stats, "w", "tasks-screen"),
        ("default", Scope::Sample, "?", "help"),
        ("prodigy", Scope::Sample, "<Space>", "skip"),
        ("prodigy", Scope::Sample, "<Backspace>", "undo"),
        ("prodigy", Scope::Sample, "f", "flag"),
        ("lightroom", Scope::Sample, "p", "accept"),
        ("lightroom", Scope::Sample, "x", "reject"),
        ("lightroom", Scope::Sample, "z", "zoom-pixels"),
        ("vim", Scope::Sample, "n", "next-undecided"),
        ("vim", Scope::Sample, "g g", "first-sample"),
        ("vim", Scope::Choice, "c 3", "choose-option 3"),
        ("vim", Scope::Sample, "u", "undo"),
        ("vim", Scope::Sheet, "V", "select-range"),
        ("vim", Scope::Sample, "m m", "switch-model"),
    ];
    for (keymap, scope, keys, action) in cases {
        let keymap = Keymap::built_in(keymap).unwrap().unwrap();
        let mut pending = Pending::default();
        let fed = parse_sequence(keys).unwrap().into_iter().map(|chord| pending.feed(&keymap, &context(scope), chord)).last();
        assert_eq!(fed, Some(Fed::Action(Action::parse(action).unwrap(), None)), "{keys}");
    }
}

#[test]
fn conflicts_name_both_places() {
    assert_eq!(
        problems("[sample]\n\"g\" = \"grid\"\n\"x\" = \"reject\"\n\"g g\" = \"first-sample\"\n\"<S-x>\" = \"flag\"\n\"X\" = \"skip\"\n"),
        [
            "my.toml:4: g g clashes with g at my.toml:2; take one of them away (a key = false takes away what the extended keymap has)",
            "my.toml:6: X clashes with X at my.toml:5; take one of them away (a key = false takes away what the extended keymap has)",
        ]
    );
    let outer = problems("extends = \"default\"\n[sample]\n\"o\" = \"overlay\"\n");
    assert!(outer[0].starts_with("my.toml:3: o clashes with o s at keymaps/default.toml:"), "{outer:?}");
    assert_eq!(problems("[choice]\n\"q\" = \"accept\"\n[global]\n\"q q\" = \"quit\"\n").len(), 1);
    assert!(Keymap::parse("extends = \"default\"\n[global]\n\"o\" = false\n[sample]\n\"o\" = \"overlay\"\n", "my.toml").is_ok());
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let cases = [
        ("[sample]\n\"a\" = \"acept\"\n", "my.toml:2: expected an action, got \"acept\"; did you mean \"accept\"?"),
        (
            "[sample]\n\"a\" = \"choose-option\"\n",
            "my.toml:2: expected an action, got \"choose-option\"; did you mean \"choose-option 1…20\"?",
        ),
        ("[sample]\n\"a\" = \"cancel-task\"\n", "my.toml:2: cancel-task does nothing in [sample]; bind it in one of tasks"),
        ("[input]\n\"a\" = \"commit\"\n", "my.toml:2: a is typed as text in [input]; use a key with <C-…> or <A-…>, or a named key"),
        ("extends = \"default\"\n[sample]\n\"Y\" = false\n", "my.toml:3: Y is not bound; leave the line out"),
        (
            "[sample]\n\"<C-Enter>\" = \"accept\"\n",
            "my.toml:2: <C-Enter> arrives as <Enter> in most terminals; bind <Enter>, or another key",
        ),
        ("[sample]\n\"<C-i>\" = \"accept\"\n", "my.toml:2: <C-i> arrives as <Tab> in most terminals; bind <Tab>, or another key"),
        (
            "[sample]\n\"<C-1>\" = \"accept\"\n",
            "my.toml:2: <C-1> does not arrive in most terminals; choose a letter with <C-…> or <A-…>, or a function key",
        ),
        ("[sample]\n\"a\" = 3\n", "my.toml:2: expected \"ACTION\", false, or { label = \"…\", ja = \"…\" }"),
        ("extends = \"nano\"\n", "my.toml:1: expected extends = one of default, vim, prodigy, lightroom, got nano"),
    ];
    for (text, expected) in cases {
        assert_eq!(problems(text), [expected]);
    }
    assert!(problems("[saple]\n")[0].starts_with("my.toml:1: expected one of the sections global, sample"));
    assert!(problems("[sample]\n\"a\" = \n")[0].starts_with("my.toml:2: "));
}

#[test]
fn hints_counts_and_text() {
    let keymap = Keymap::built_in("vim").unwrap().unwrap();
    let mut pending = Pending::default();
    let mut feed = |context: &Context, keys: &str| pending.feed(&keymap, context, chord(keys));
    let sample = context(Scope::Choice);
    let Fed::Pending(hints) = feed(&sample, "g") else { panic!() };
    let shown: Vec<_> = hints.iter().map(|hint| (hint.chord.to_string(), hint.text(Language::Ja).to_owned())).collect();
    assert_eq!(shown[0], ("g".to_owned(), "最初の試料".to_owned()));
    assert_eq!(feed(&sample, "<Esc>"), Fed::Nothing);
    assert_eq!(feed(&sample, "1"), Fed::Pending(vec![]));
    assert_eq!(feed(&sample, "0"), Fed::Pending(vec![]));
    assert_eq!(feed(&sample, "j"), Fed::Action(Action::NextSample, Some(10)));
    assert_eq!(feed(&sample, "j"), Fed::Action(Action::NextSample, None));
    assert_eq!(feed(&sample, "0"), Fed::Nothing);
    // An input method that was left on changes nothing but text.
    assert_eq!(feed(&sample, "ｊ"), Fed::Action(Action::NextSample, None));
    let typing = Context { scope: Scope::Input, typing: Typing::Anything };
    assert_eq!(feed(&typing, "ｊ"), Fed::Text('ｊ'));
    assert_eq!(feed(&typing, "a"), Fed::Text('a'));
    assert_eq!(feed(&typing, "<Enter>"), Fed::Action(Action::Commit, None));
    let rows = Context { scope: Scope::Address, typing: Typing::These(vec!['u', 'U']) };
    assert_eq!(feed(&rows, "ｕ"), Fed::Text('u'));
    assert_eq!(feed(&rows, "a"), Fed::Action(Action::Accept, None));
}

#[test]
fn help_is_made_from_the_keymap_in_force() {
    let keymap = Keymap::parse("extends = \"default\"\n[sample]\n\"a\" = \"skip\"\n\"s\" = false\n", "my.toml").unwrap();
    assert_eq!(keymap.keys_of(Action::Accept, Scope::Choice), ["<Enter>"]);
    assert_eq!(keymap.keys_of(Action::Skip, Scope::Choice), ["a"]);
    // What an inner scope covers is not listed.
    assert_eq!(keymap.keys_of(Action::PreviousSample, Scope::Sample), ["k", "<Left>"]);
    assert_eq!(keymap.keys_of(Action::PreviousSample, Scope::Box), ["k"]);
    let rows = keymap.help(Scope::Sheet);
    assert_eq!((rows[0].scope, rows.last().unwrap().scope), (Scope::Sheet, Scope::Global));
    let rest = keymap.keys_of(Action::SwitchModel, Scope::Sheet);
    assert_eq!(rest, ["m m"]);
}

#[test]
fn every_action_is_in_the_palette_and_documented_in_both_languages() {
    for language in [Language::En, Language::Ja] {
        let palette = Picker::palette(language);
        let listed: BTreeSet<Action> =
            palette.visible().iter().filter_map(|item| if let Pick::Act(action) = item.pick { Some(action) } else { None }).collect();
        assert_eq!(listed, Action::all().collect());
    }
    for spec in SPECS {
        assert!(!spec.en.is_empty() && spec.en.is_ascii(), "{}", spec.name);
        assert!(!spec.ja.is_ascii(), "{}", spec.name);
        assert!(!spec.scopes.is_empty());
        assert!(spec.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", spec.name);
    }
    for action in Action::all() {
        assert_eq!(Action::parse(&action.to_string()), Some(action));
    }
    for wrong in ["", "acept", "accept 1", "choose-option", "choose-option 0", "choose-option 21", "accept x", "choose-option 1 2"] {
        assert_eq!(Action::parse(wrong), None, "{wrong}");
    }
}

fn any_key() -> impl Strategy<Value = Key> {
    let named = [Key::Enter, Key::Esc, Key::Tab, Key::Backspace, Key::Delete, Key::Insert, Key::Up, Key::Home, Key::End, Key::PageUp];
    prop_oneof![any::<char>().prop_map(Key::Char), (1_u8..=12).prop_map(Key::F), proptest::sample::select(named.to_vec())]
}

proptest! {
    #[test]
    fn chords_read_back(key in any_key(), ctrl: bool, alt: bool, shift: bool) {
        let text = Chord::reported(key, ctrl, alt, shift).to_string();
        if let Ok(chord) = Chord::parse(&text) {
            prop_assert_eq!(chord, Chord::reported(key, ctrl, alt, shift));
            prop_assert_eq!(Chord::parse(&chord.to_string()), Ok(chord));
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "(<[CAS]-|[a-zA-Z<>-]|Tab|F1|\\PC){0,8}") {
        if let Ok(chord) = Chord::parse(&text) {
            prop_assert_eq!(Chord::parse(&chord.to_string()), Ok(chord));
        }
        let _ = Keymap::parse(&format!("[sample]\n'{text}' = '{text}'"), "my.toml");
    }
}
