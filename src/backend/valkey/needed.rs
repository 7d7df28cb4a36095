//! A script without what it does not use of the text that all share: the server makes every function of a script anew for
//! each call, and those of the prelude cost it more than most scripts do.
//!
//! What may go is what stands at the beginning of a line as `local function NAME` until `end`, or as a constant,
//! `local NAME` in capitals, until the line's end or a `}`. Neither does anything where it stands.

use std::collections::HashSet;

/// A piece of a script's text.
struct Piece<'a> {
    /// What it defines; nothing where it does something and has to stay.
    names: Vec<&'a str>,
    lines: Vec<&'a str>,
}

/// The text without comments, and without the definitions that nothing in it uses.
pub(super) fn needed(text: &str) -> String {
    let pieces = pieces(text);
    let mut wanted = HashSet::new();
    let mut kept = vec![false; pieces.len()];
    // whatever is kept may want more, wherever that stands
    while let Some(next) = (0..pieces.len()).find(|at| !kept[*at] && pieces[*at].stays(&wanted)) {
        kept[next] = true;
        wanted.extend(pieces[next].lines.iter().flat_map(|line| words(line)));
    }
    let kept = pieces.iter().zip(kept).filter(|(_, kept)| *kept);
    kept.flat_map(|(piece, _)| &piece.lines).flat_map(|line| [line, "\n"]).collect()
}

impl Piece<'_> {
    fn stays(&self, wanted: &HashSet<&str>) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| wanted.contains(name))
    }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.trim_start().starts_with("--"));
    let mut pieces = Vec::new();
    while let Some(line) = lines.next() {
        let mut piece = Piece { names: defined(line), lines: vec![line] };
        let last = if line.starts_with("local function ") {
            Some("end")
        } else {
            (!piece.names.is_empty() && line.ends_with('{')).then_some("}")
        };
        if let Some(last) = last {
            for line in lines.by_ref() {
                piece.lines.push(line);
                if line == last {
                    break;
                }
            }
        }
        pieces.push(piece);
    }
    pieces
}

/// What a line begins to define.
fn defined(line: &str) -> Vec<&str> {
    if let Some(function) = line.strip_prefix("local function ") {
        return words(function).take(1).collect();
    }
    let Some((names, _)) = line.strip_prefix("local ").and_then(|rest| rest.split_once(" = ")) else {
        return Vec::new();
    };
    let capital = |byte| matches!(byte, b'A'..=b'Z' | b'_' | b',' | b' ');
    if names.bytes().all(capital) { words(names).collect() } else { Vec::new() }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_where_it_stood_and_so_does_what_that_uses() {
        let text = "\
-- the third is not used
local ONE, TWO = 1, 2
local TABLE = {
  'a',
}
local UNUSED = {
  'b',
}

local function first()
  return ONE
end
local function second(x)
  -- of unused
  return first() + x
end
local function unused()
  return second(TABLE)
end
local base = second(3)
return base
";
        let left = "\
local ONE, TWO = 1, 2
local function first()
  return ONE
end
local function second(x)
  return first() + x
end
local base = second(3)
return base
";
        assert_eq!(needed(text), left);
    }

    #[test]
    fn what_does_something_stays() {
        let text = "local base = redis.call('TIME')\nif KEYS[1] then\n  return 1\nend\n";
        assert_eq!(needed(text), text);
    }
}
