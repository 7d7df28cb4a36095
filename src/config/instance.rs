//! `[instance]`: who this process is.

use std::time::Duration;

use super::declare::section;
use super::kind::{duration, name};

section! { at =>
    /// `[instance]`
    pub struct Instance {
        /// Its name among the members. After loading never empty: host name and a random suffix by default.
        id: String = at.or("", name(0..=64, "a-z, A-Z, 0-9, `.`, `_` and `-`", |c| matches!(c, '.' | '_' | '-')));
        /// Instances of the same name share log, keys and queues. Without dots: `{main.1}` is a shard of `main`.
        cluster: String = at.or("main", name(1..=64, "a-z, A-Z, 0-9, `_` and `-`", |c| matches!(c, '_' | '-')));
        /// Longest time from the signal to the end.
        shutdown_grace: Duration = at.or("10s", duration("0s", "1h"));
        /// How long of that the data listener goes on answering, unready, so that balancers notice in time.
        lame_duck: Duration = at.or("0s", duration("0s", "1h"));
    }
}

impl Instance {
    /// Host name and six random letters, so that two processes of one host differ.
    pub(super) fn complete(&mut self) {
        if self.id.is_empty() {
            let host = rustix::system::uname();
            let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            let host: String = host.nodename().to_string_lossy().chars().filter(allowed).take(50).collect();
            let host = if host.is_empty() { "coherd".to_owned() } else { host };
            self.id = format!("{host}-{:06x}", rand::random::<u32>() & 0x00FF_FFFF);
        }
    }
}
