//! FCALLs that must change nothing: every rule of the arguments, broken.

/// What stands behind `FCALL coherd_invalidate`.
pub(crate) fn calls() -> Vec<Vec<Vec<u8>>> {
    let long = |length| "k".repeat(length);
    let (key, tag, free) = (long(513), long(257), long(257));
    let many: Vec<&str> = (0..1001).flat_map(|_| ["tag", "t"]).collect();
    let arguments: Vec<Vec<&str>> = vec![
        vec![],
        vec!["ns"],
        vec!["ns", "u"],
        vec!["soft", "1"],
        vec!["all", "0"],
        vec!["all", "2"],
        vec!["all", "1", "soft", "yes"],
        vec!["key", "1"],
        vec!["prefix", "1"],
        vec!["ns", "U", "key", "1"],
        vec!["ns", "", "key", "1"],
        vec!["ns", "u", "key", ""],
        vec!["ns", "u", "key", &key],
        vec!["ns", "u", "prefix", &key],
        vec!["tag", ""],
        vec!["tag", "a b"],
        vec!["tag", "a,b"],
        vec!["tag", "ä"],
        vec!["tag", &tag],
        vec!["tag", "t", "request_id", &free],
        vec!["tag", "t", "src", &free],
        vec!["tag", "t", "tags", "t"],
        vec!["tag", "t", "key"],
        many,
    ];
    let ours = |words: Vec<&str>| ["1", "coherd:{main}:ctl"].into_iter().chain(words).map(bytes).collect();
    let mut calls: Vec<Vec<Vec<u8>>> = arguments.into_iter().map(ours).collect();
    // not UTF-8: cut short, a surrogate, one too long, beyond the last
    for text in [&b"\xC3"[..], b"a\xED\xA0\x80", b"\xC0\xAF", b"\xF4\x90\x80\x80"] {
        for field in ["key", "prefix", "src", "why", "request_id"] {
            let mut words: Vec<Vec<u8>> =
                ["1", "coherd:{main}:ctl", "ns", "u", "all", "1", field].map(bytes).to_vec();
            words.push(text.to_vec());
            calls.push(words);
        }
    }
    for keys in [
        &["0"][..],
        &["1", "coherd:{main}:log"],
        &["1", "coherd:main:ctl"],
        &["1", "x:coherd:{main}:ctl"],
        &["1", "coherd:{}:ctl"],
        &["2", "coherd:{main}:ctl", "coherd:{main}:log"],
    ] {
        calls.push(keys.iter().copied().chain(["tag", "t"]).map(bytes).collect());
    }
    calls
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}
