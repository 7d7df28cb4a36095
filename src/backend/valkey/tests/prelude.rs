//! What scripts share, by itself.

use super::super::needed::needed;
use super::super::script::PRELUDE;
use super::*;

#[tokio::test]
async fn a_whole_number_is_its_digits() {
    let it = Fixture::start().await;
    let spell = needed(&format!("{PRELUDE}\nreturn str(tonumber(ARGV[1]))"));
    let exact = 1 << 53;
    for number in
        [0, 1, 9_999_999, 10_000_000, 999_999_999, 1_000_000_000, 1_000_000_007, 218_000_000_000_000]
            .into_iter()
            .chain((1..53).flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits]))
            .chain((9..16).flat_map(|zeros| [10_u64.pow(zeros) - 1, 10_u64.pow(zeros)]))
            .chain((1..100).flat_map(|back| [exact - back, 900_000_000 * 10_000_000 - back]))
    {
        let text = number.to_string();
        let spelt = it.admin("EVAL", &[&spell, "0", &text]).await;
        assert_eq!(spelt.into_string(), Some(text));
    }
}
