use super::*;

fn scan(text: &str) -> Result<(), Error> {
    Document::scan(text.as_bytes(), Limits::REQUEST).map(drop)
}

#[test]
fn what_every_parser_reads_alike_is_accepted() {
    for text in [
        "{}",
        " [1, -0, 2.5e+10, 1E9, true, false, null, \"\"] \n",
        r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}"#,
        r#""\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t""#,
        "\"\u{1F600}\u{7f}\"",
    ] {
        assert_eq!(scan(text), Ok(()), "{text}");
    }
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    type Row<'r> = (&'r str, fn(Error) -> bool);
    let deep = "[".repeat(70) + &"]".repeat(70);
    let rows: &[Row<'_>] = &[
        (r#"{"a":1,"a":2}"#, |e| {
            matches!(e, Error::DuplicateKey { at: 7 })
        }),
        (r#"{"a":1,"\u0061":2}"#, |e| {
            matches!(e, Error::DuplicateKey { .. })
        }),
        (r#"{"x":{"y":[{"a":1,"b":2,"a":3}]}}"#, |e| {
            matches!(e, Error::DuplicateKey { .. })
        }),
        (r#"{"params":{"arguments":{"a":1,"a":2}}}"#, |e| {
            matches!(e, Error::DuplicateKey { .. })
        }),
        ("\u{feff}{}", |e| e == Error::Bom),
        ("{} {}", |e| matches!(e, Error::Trailing { at: 3 })),
        ("{}\0", |e| matches!(e, Error::Trailing { .. })),
        (r#""\ud800""#, |e| matches!(e, Error::LoneSurrogate { .. })),
        (r#""\ud800\u0041""#, |e| {
            matches!(e, Error::LoneSurrogate { .. })
        }),
        (r#""\udc00""#, |e| matches!(e, Error::LoneSurrogate { .. })),
        (&deep, |e| matches!(e, Error::TooDeep { .. })),
        ("", |e| e == Error::Ends),
        (r#"{"a""#, |e| e == Error::Ends),
        (r#"{"a":1"#, |e| e == Error::Ends),
    ];
    for (text, expected) in rows {
        let error = scan(text).unwrap_err();
        assert!(expected(error), "{text}: {error:?}");
    }
    for text in [
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "1e",
        "0x1",
        "tru",
        "nul",
        "'a'",
        "{a:1}",
        "[1,]",
        r#"{"a":1,}"#,
        "[1 2]",
        r#"{"a" 1}"#,
        r#"{"a":1 "b":2}"#,
        "\"a\nb\"",
        r#""\x41""#,
        r#""\u12""#,
        "/* */ {}",
        "undefined",
    ] {
        assert!(
            matches!(
                scan(text),
                Err(Error::Syntax { .. } | Error::Ends | Error::Trailing { .. })
            ),
            "{text}"
        );
    }
}

#[test]
fn invalid_utf8_is_refused() {
    for bytes in [&b"\"\xff\""[..], b"\"\xc0\xaf\"", b"\"\xed\xa0\x80\""] {
        assert!(matches!(
            Document::scan(bytes, Limits::REQUEST),
            Err(Error::Utf8 { at: 1 })
        ));
    }
}

#[test]
fn a_duplicate_among_many_keys_is_found() {
    let members: Vec<String> = (0..200).map(|i| format!("\"k{i}\":{i}")).collect();
    assert_eq!(scan(&format!("{{{}}}", members.join(","))), Ok(()));
    for twice in [0, 15, 16, 17, 199] {
        let text = format!("{{{},\"k{twice}\":0}}", members.join(","));
        assert!(
            matches!(scan(&text), Err(Error::DuplicateKey { .. })),
            "{twice}"
        );
    }
}

#[test]
fn values_are_found_where_they_are() {
    let text = br#"{"id": 7, "params": {"n\u0061me": "a\nb", "arguments": {"x": {"y": 1}}, "list": [1, "two"]}}"#;
    let document = Document::scan(text, Limits::REQUEST).unwrap();
    let root = document.root();
    assert_eq!(root.get("id").unwrap().raw(), b"7");
    let params = root.get("params").unwrap();
    assert_eq!(params.get("name").unwrap().as_str().unwrap(), "a\nb");
    assert_eq!(
        params.get("arguments").unwrap().raw(),
        br#"{"x": {"y": 1}}"#
    );
    assert_eq!(
        params.get("arguments").unwrap().children().count(),
        0,
        "nothing inside arguments is remembered"
    );
    let kinds: Vec<_> = params
        .get("list")
        .unwrap()
        .children()
        .map(Value::kind)
        .collect();
    assert_eq!(kinds, [Kind::Number, Kind::String]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
        let _ = Document::scan(&bytes, Limits::REQUEST);
    }

    #[test]
    fn what_it_accepts_is_json(text in r#"[\[\]{}",:0-9a-c\\ue. -]{0,24}"#) {
        if scan(&text).is_ok() {
            proptest::prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }
}
