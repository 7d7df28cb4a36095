//! PUT and DELETE: to the cache alone, or to an origin, by what the namespace and the request say.

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::body::Body;
use super::data::DataDesk;
use super::demand;
use super::front::Call;
use super::problem::{Code, Problem};
use super::query::{Wait, WriteOptions};
use super::reply::{self, LEASE, LOG_ID, text_value};
use super::{invalidate, tags};
use crate::cache::{Write, Written};
use crate::coherence::{Receipt, WaitMode};
use crate::model::{Key, Namespace, Stated, Value, etag_of};
use crate::write::{Ask, BackendError, Change, Done, Durability, OriginError, OriginWriteError, WriteError};

/// `Coherd-Write-Id`: which write is behind.
const WRITE_ID: HeaderName = HeaderName::from_static("coherd-write-id");
/// `Coherd-Durability`: what keeps it; in a request, what shall.
const DURABILITY: HeaderName = HeaderName::from_static("coherd-durability");
/// After which a full backlog is worth another try, in seconds.
const FULL_RETRY: u16 = 1;

impl DataDesk {
    /// PUT.
    pub(super) async fn put(
        &self,
        namespace: &Namespace,
        key: &Key,
        options: WriteOptions,
        call: Call,
    ) -> Result<Response<Body>, Problem> {
        if self.writes.takes(namespace) {
            no_lease(&call.headers)?;
            let wanted = wanted(&call.headers)?;
            let Write { value, tags, lifetime, .. } = write(call)?;
            let ask = Ask {
                change: Change::Put(value),
                tags,
                lifetime,
                mode: options.mode,
                wanted,
                confirm: options.wait.is_some(),
            };
            return self.change(namespace, key, ask, options.wait).await;
        }
        no_mode(options)?;
        let write = Write { confirm: options.wait.is_some(), ..write(call)? };
        match self.cache.put(namespace, key, write).await.map_err(|error| reply::put_refused(&error))? {
            Written::Leased => Ok(reply::no_content()),
            Written::Changed(receipt) => self.changed(&receipt, options.wait).await,
        }
    }

    /// DELETE.
    pub(super) async fn delete(
        &self,
        namespace: &Namespace,
        key: &Key,
        options: WriteOptions,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Problem> {
        let confirm = options.wait.is_some();
        if self.writes.takes(namespace) {
            let ask = Ask {
                change: Change::Delete,
                tags: Vec::new(),
                lifetime: Stated::default(),
                mode: options.mode,
                wanted: wanted(headers)?,
                confirm,
            };
            return self.change(namespace, key, ask, options.wait).await;
        }
        no_mode(options)?;
        let receipt = self.cache.delete(namespace, key, confirm).await;
        self.changed(&receipt.map_err(|error| reply::put_refused(&error))?, options.wait).await
    }

    async fn change(
        &self,
        namespace: &Namespace,
        key: &Key,
        ask: Ask,
        wait: Option<Wait>,
    ) -> Result<Response<Body>, Problem> {
        let Done { receipt, behind } =
            self.writes.write(namespace, key, ask).await.map_err(|error| refused(&error))?;
        let Some(id) = behind else { return self.changed(&receipt, wait).await };
        let durability = match receipt.durability {
            Durability::Memory => "memory",
            Durability::Aof => "aof",
            Durability::Replica => "replica",
        };
        let mut document = json!({ "id": id.to_string(), "durability": durability });
        if let Some(wait) = wait {
            let waited = self.coherence.wait_all(&receipt, wait.limit()).await;
            if waited.mode == WaitMode::TimedOut {
                return Err(invalidate::timed_out(&receipt.id, &waited)
                    .with_header(WRITE_ID, text_value(&id.to_string())));
            }
            document["applied"] = json!(waited.applied);
            document["missing"] = json!(waited.missing);
        }
        let mut response = reply::json(StatusCode::ACCEPTED, &document);
        let headers = response.headers_mut();
        headers.insert(WRITE_ID, text_value(&id.to_string()));
        headers.insert(LOG_ID, text_value(&receipt.id.to_string()));
        headers.insert(DURABILITY, text_value(durability));
        Ok(response)
    }

    async fn changed(&self, receipt: &Receipt, wait: Option<Wait>) -> Result<Response<Body>, Problem> {
        let Some(wait) = wait else { return Ok(reply::logged(&receipt.id)) };
        let waited = self.coherence.wait_all(receipt, wait.limit()).await;
        invalidate::waited(&receipt.id, &receipt.widened, &waited)
    }
}

/// What a PUT stores.
pub(super) fn write(call: Call) -> Result<Write, Problem> {
    let content_type = demand::joined(&call.headers, &CONTENT_TYPE)?;
    Ok(Write {
        tags: tags::of_value(&call.headers)?,
        lifetime: demand::cache_control(&call.headers).stated(),
        lease: demand::joined(&call.headers, &LEASE)?,
        value: Value {
            etag: Some(etag_of(&call.body)),
            content_type: content_type.map(Into::into),
            last_modified: None,
            body: call.body,
        },
        confirm: false,
    })
}

/// `Coherd-Durability` of a request.
fn wanted(headers: &HeaderMap) -> Result<Durability, Problem> {
    match demand::joined(headers, &DURABILITY)?.as_deref() {
        None | Some("memory") => Ok(Durability::Memory),
        Some("aof") => Ok(Durability::Aof),
        Some("replica") => Ok(Durability::Replica),
        Some(_) => Err(bad("`Coherd-Durability` is `memory`, `aof` or `replica`")),
    }
}

/// A lease is for values that only the application can load.
fn no_lease(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(LEASE) {
        return Err(bad("`Coherd-Lease` is for namespaces without an origin"));
    }
    Ok(())
}

/// A mode is for origins.
fn no_mode(options: WriteOptions) -> Result<(), Problem> {
    if options.mode.is_some() {
        return Err(bad("`mode` is for namespaces with an origin that can be written"));
    }
    Ok(())
}

fn bad(why: &str) -> Problem {
    Problem::new(Code::BadRequest, why)
}

/// Why a change was not made, or is not known to be.
fn refused(error: &WriteError) -> Problem {
    let detail = error.to_string();
    let code = match error {
        WriteError::Off | WriteError::NoRemovals => Code::WriteOff,
        WriteError::TooLarge(_) => Code::TooLarge,
        WriteError::Stopping => Code::Unavailable,
        WriteError::Backend(BackendError::Full(_)) => {
            return Problem::new(Code::Overloaded, detail).with_header(RETRY_AFTER, FULL_RETRY.into());
        }
        WriteError::Backend(error) => return reply::unavailable(error, detail),
        WriteError::Origin(OriginWriteError::Refused(_)) => Code::OriginFailed,
        WriteError::Origin(OriginWriteError::Failed { error, .. }) => match error {
            OriginError::Status(_) | OriginError::Failed(_) | OriginError::Unusable(_) => Code::OriginFailed,
            OriginError::TimedOut => Code::OriginTimeout,
            OriginError::Overloaded => Code::Overloaded,
            OriginError::LeftAlone(left_alone) => {
                return reply::come_back(Problem::new(Code::Unavailable, detail), left_alone);
            }
        },
    };
    Problem::new(code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Boot;
    use bytes::Bytes;

    fn call(lines: &[(&'static str, &'static str)]) -> Call {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Call {
            headers,
            body: Bytes::from_static(b"v"),
            trace: None,
            arrived: Boot::NEVER,
            peer: std::net::Ipv4Addr::LOCALHOST.into(),
        }
    }

    #[test]
    fn a_put_says_what_is_stored_and_for_how_long() {
        let lines = [
            ("content-type", "text/plain"),
            ("cache-tag", "a,b"),
            ("cache-control", "max-age=5"),
            ("coherd-lease", "t0ken"),
        ];
        let write = write(call(&lines)).unwrap();
        assert_eq!((&*write.value.body, &write.value.etag), (&b"v"[..], &Some(etag_of(b"v"))));
        assert_eq!(write.value.content_type.as_deref(), Some("text/plain"));
        assert_eq!(write.tags.len(), 2);
        assert_eq!(write.lifetime.fresh.unwrap().as_secs(), 5);
        assert_eq!(write.lease.as_deref(), Some("t0ken"));
        assert_eq!(super::write(call(&[("cache-tag", "a b")])).unwrap_err().code(), Code::BadTag);
    }

    #[test]
    fn how_durable_a_write_shall_be_is_one_of_three() {
        let of = |text| wanted(&call(&[("coherd-durability", text)]).headers);
        assert_eq!(of("aof").unwrap(), Durability::Aof);
        assert_eq!(of("replica").unwrap(), Durability::Replica);
        assert_eq!(wanted(&HeaderMap::new()).unwrap(), Durability::Memory);
        assert_eq!(of("disk").unwrap_err().code(), Code::BadRequest);
    }

    #[test]
    fn every_failure_has_its_answer() {
        let failed = |error| WriteError::Origin(OriginWriteError::Failed { error, retry_after: None });
        for (error, code) in [
            (WriteError::Off, Code::WriteOff),
            (WriteError::NoRemovals, Code::WriteOff),
            (WriteError::TooLarge(9), Code::TooLarge),
            (WriteError::Stopping, Code::Unavailable),
            (WriteError::Backend(BackendError::Full(7)), Code::Overloaded),
            (WriteError::Backend(BackendError::TimedOut), Code::Unavailable),
            (WriteError::Origin(OriginWriteError::Refused("no".into())), Code::OriginFailed),
            (failed(OriginError::Status(500)), Code::OriginFailed),
            (failed(OriginError::TimedOut), Code::OriginTimeout),
            (failed(OriginError::Overloaded), Code::Overloaded),
        ] {
            assert_eq!(refused(&error).code(), code, "{error:?}");
        }
    }
}
