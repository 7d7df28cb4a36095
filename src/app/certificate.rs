//! The listeners' certificate: read at the start, and again whenever its files say something else.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::StartError;
use crate::config::Tls;
use crate::supervisor::{Hangups, Stage, Supervisor, TaskError, TaskResult};
use crate::telemetry::{Degradation, Readiness};
use crate::tls::{Acceptor, Pair, PairError, Shown};

/// Between two looks at the files. They are read whole each time: a time of change says nothing of a link that was turned
/// elsewhere, as Kubernetes does with secrets.
const PAUSE: Duration = Duration::from_secs(2);
/// A certificate is soon over in the last fifth of its time, but not before the last week.
const LAST_SHARE: u32 = 5;
const LAST_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How often that is said.
const REMIND: Duration = Duration::from_secs(86_400);

/// What answers handshakes with the pair in the files as they are now. The files are looked at again until the listeners
/// stop; what is not usable then is told and not shown.
pub(super) fn serve(
    tls: Option<&Tls>,
    readiness: &Readiness,
    supervisor: &Supervisor,
) -> Result<Option<Acceptor>, StartError> {
    let Some(tls) = tls else { return Ok(None) };
    let shown = Shown::new(tls.pair()?);
    let acceptor = shown.acceptor().map_err(|error| StartError::Tls(error.into()))?;
    let (tls, readiness) = (tls.clone(), readiness.clone());
    supervisor.task(Stage::Backend, "tls.reload", move |stop| {
        let reload = Reload {
            tls: tls.clone(),
            shown: shown.clone(),
            readiness: readiness.clone(),
            refused: None,
            reminded: None,
        };
        reload.run(stop)
    });
    Ok(Some(acceptor))
}

struct Reload {
    tls: Tls,
    shown: Shown,
    readiness: Readiness,
    /// Why the files were refused when they were last looked at.
    refused: Option<String>,
    /// When it was last said that the certificate is over soon.
    reminded: Option<Instant>,
}

impl Reload {
    async fn run(mut self, stop: CancellationToken) -> TaskResult {
        let mut hangups = Hangups::listen()?;
        loop {
            self.remind(now());
            let asked = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = hangups.next() => true,
                () = sleep(PAUSE) => false,
            };
            let tls = self.tls.clone();
            let read = tokio::task::spawn_blocking(move || tls.pair()).await;
            self.take(read.map_err(TaskError::from)?, asked);
        }
    }

    /// `asked`: somebody wants to hear of it.
    fn take(&mut self, read: Result<Pair, PairError>, asked: bool) {
        let cert: &Path = &self.tls.cert;
        match read {
            Ok(pair) if pair.is_same(&self.shown.pair()) => {
                if asked || self.refused.is_some() {
                    info!(tls.cert = %cert.display(), "the certificate is that which is shown already");
                }
                self.refused = None;
            }
            Ok(pair) => {
                let until = pair.validity().map(|it| httpdate::fmt_http_date(it.until)).unwrap_or_default();
                self.shown.exchange(pair);
                info!(tls.cert = %cert.display(), tls.until = until, "another certificate is shown from now on");
                (self.refused, self.reminded) = (None, None);
            }
            Err(error) => {
                let why = error.to_string();
                if asked || self.refused.as_ref() != Some(&why) {
                    warn!(
                        tls.cert = %cert.display(),
                        error = &error as &dyn std::error::Error,
                        "the certificate is not exchanged, the one before is still shown"
                    );
                }
                self.refused = Some(why);
            }
        }
        self.readiness.degrade(Degradation::CertificateRefused, self.refused.is_some());
    }

    /// Says that the certificate is over, or soon will be.
    fn remind(&mut self, now: SystemTime) {
        let Some(validity) = self.shown.pair().validity() else { return };
        let left = validity.left(now);
        self.readiness.degrade(Degradation::CertificateExpired, left.is_none());
        let soon = LAST_MAX.min(validity.whole() / LAST_SHARE);
        let due = self.reminded.is_none_or(|last| REMIND <= last.elapsed());
        if !due || left.is_some_and(|left| soon < left) {
            return;
        }
        self.reminded = Some(Instant::now());
        let until = httpdate::fmt_http_date(validity.until);
        if left.is_some() {
            warn!(tls.until = until, "the certificate is over soon");
        } else {
            error!(tls.until = until, "the certificate is over, clients refuse it");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a certificate speaks of the calendar")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A certificate of ten days, and what follows its files.
    fn reload(folder: &Path) -> Reload {
        let tls = Tls { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args(["-subj", "/CN=x", "-days", "10", "-keyout"]).arg(&tls.key).arg("-out").arg(&tls.cert);
        assert!(openssl.output().unwrap().status.success());
        let shown = Shown::new(tls.pair().unwrap());
        Reload { tls, shown, readiness: Readiness::new(), refused: None, reminded: None }
    }

    #[tokio::test(start_paused = true)]
    async fn that_a_certificate_is_over_soon_is_said_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let mut reload = reload(folder.path());
        let validity = reload.shown.pair().validity().unwrap();
        assert_eq!(validity.whole(), Duration::from_secs(10 * 86_400));
        let before = |left: u64| validity.until - Duration::from_secs(left);
        let mut said = |now| {
            let last = reload.reminded;
            reload.remind(now);
            (reload.reminded != last, reload.readiness.snapshot().degraded)
        };
        assert_eq!(said(before(2 * 86_400 + 1)), (false, vec![]), "not yet in the last fifth");
        assert_eq!(said(before(2 * 86_400)), (true, vec![]));
        assert_eq!(said(before(86_401)), (false, vec![]), "it was said");
        tokio::time::advance(REMIND).await;
        assert_eq!(said(before(0)), (true, vec![]), "its last second");
        let expired = || vec!["certificate_expired".to_owned()];
        assert_eq!(said(validity.until + Duration::from_secs(1)), (false, expired()));
        tokio::time::advance(REMIND).await;
        assert_eq!(said(validity.until + Duration::from_secs(1)), (true, expired()));
        assert_eq!(said(before(9 * 86_400)), (false, vec![]));
    }

    #[tokio::test]
    async fn what_was_refused_is_no_longer_once_the_files_are_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let mut reload = reload(folder.path());
        let key = std::fs::read(&reload.tls.key).unwrap();
        std::fs::write(&reload.tls.key, "").unwrap();
        reload.take(reload.tls.pair(), false);
        assert_eq!(reload.readiness.snapshot().degraded, ["certificate_refused"]);
        std::fs::write(&reload.tls.key, key).unwrap();
        reload.take(reload.tls.pair(), false);
        assert_eq!(reload.readiness.snapshot().degraded, Vec::<String>::new());
    }
}
