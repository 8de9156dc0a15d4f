//! W3C trace context, and spans for a collector of OpenTelemetry traces (OTLP over HTTP, as JSON) where the flag
//! `--otlp-endpoint` names one.
//!
//! Without the flag nothing is made up: what the caller sent is passed on. A message can carry its context in `_meta`
//! as well, where no proxy touches it, so the header follows `_meta` and the server reads the same in both.

use std::sync::Arc;
use std::time::Duration;

use access::Reason;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use crate::audit::Record;
use crate::headers;
use crate::losses::Losses;
use crate::metrics::{Delivery, Metrics};
use crate::protocol::Method;
use crate::ship::{self, Outbox, Parcel, Shipper};
use access::hex;

/// `traceparent`
pub const PARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`
pub const STATE: HeaderName = HeaderName::from_static("tracestate");

/// A valid `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// 32 lower-case hexadecimal digits.
    pub trace: String,
    /// 16 of them.
    pub parent: String,
    /// Whether the caller records this trace.
    pub sampled: bool,
}

impl Context {
    /// Reads a `traceparent`, of this version or a later one.
    pub fn read(text: &str) -> Option<Self> {
        let digits = |text: &str, length| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let mut parts = text.split('-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let valid = digits(version, 2)
            && version != "ff"
            && (version != "00" || parts.next().is_none())
            && digits(trace, 32)
            && trace.bytes().any(|b| b != b'0')
            && digits(parent, 16)
            && parent.bytes().any(|b| b != b'0')
            && digits(flags, 2);
        let flags = u8::from_str_radix(flags, 16).ok().filter(|_| valid)?;
        Some(Self {
            trace: trace.to_owned(),
            parent: parent.to_owned(),
            sampled: flags & 1 == 1,
        })
    }

    /// That of a request's headers.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::read(headers::single(headers, &PARENT).ok()??)
    }

    fn header(&self) -> Option<HeaderValue> {
        let flags = u8::from(self.sampled);
        HeaderValue::from_str(&format!("00-{}-{}-{flags:02x}", self.trace, self.parent)).ok()
    }
}

/// `traceparent` and `tracestate` of `params._meta`, as they stand there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `traceparent`
    pub parent: Option<String>,
    /// `tracestate`
    pub state: Option<String>,
}

impl Meta {
    fn context(&self) -> Option<Context> {
        Context::read(self.parent.as_deref()?)
    }
}

/// Makes the headers for the server say what `_meta` says, or else that the server's work is part of `span`. A
/// context that cannot be read is passed to nobody.
pub(crate) fn tell_server(headers: &mut HeaderMap, meta: &Meta, span: Option<&Span>) {
    let own = match meta.context() {
        Some(_) => {
            let value = |text: &Option<String>| HeaderValue::from_str(text.as_deref()?).ok();
            headers.remove(&STATE);
            headers.extend(value(&meta.state).map(|state| (STATE, state)));
            value(&meta.parent)
        }
        None if !headers.contains_key(&PARENT) && span.is_none() => return,
        None => {
            let came = Context::of(headers).is_some();
            if !came {
                headers.remove(&STATE);
            }
            match span {
                Some(span) => span.context().header(),
                None if came => return,
                None => None,
            }
        }
    };
    headers.remove(&PARENT);
    headers.extend(own.map(|value| (PARENT, value)));
}

/// Where spans are handed in.
#[derive(Debug)]
pub struct Tracer {
    outbox: Outbox,
    random: SystemRandom,
}

/// The span of one request, until its answer is over.
#[derive(Debug)]
pub struct Span {
    tracer: Arc<Tracer>,
    trace: String,
    id: String,
    parent: Option<String>,
    sampled: bool,
}

impl Tracer {
    /// Spans go to the collector at `endpoint`, a base URL as OpenTelemetry defines it: `/v1/traces` is added.
    pub fn start(
        endpoint: &str,
        namespace: &str,
        server: &str,
        metrics: &Arc<Metrics>,
    ) -> (Arc<Self>, Shipper) {
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let told = Arc::clone(metrics);
        let resource = json!({ "attributes": [
            text("service.name", "mcp-gateway"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("k8s.namespace.name", namespace),
            text("kubectl_mcp.server", server),
        ] });
        let (outbox, shipper) = ship::start(Parcel {
            url: Box::new(move || Some(url.clone())),
            key: None,
            content_type: "application/json",
            before: format!(
                r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{{"name":"mcp-gateway"}},"spans":["#
            ),
            between: ",",
            after: "]}]}]}",
            losses: Losses::new("spans", metrics.spans_dropped()),
            sent: Box::new(move |taken| told.delivered(Delivery::Traces, taken)),
        });
        let random = SystemRandom::new();
        (Arc::new(Self { outbox, random }), shipper)
    }

    /// Begins a span. `None` when the system gives no random numbers.
    pub(crate) fn begin(self: &Arc<Self>, parent: Option<Context>) -> Option<Box<Span>> {
        let mut bytes = [0; 24];
        self.random.fill(&mut bytes).ok()?;
        let (trace, id) = bytes.split_at(16);
        let (trace, parent, sampled) = match parent {
            Some(context) => (context.trace, Some(context.parent), context.sampled),
            None => (hex(trace), None, true),
        };
        Some(Box::new(Span {
            tracer: Arc::clone(self),
            trace,
            id: hex(id),
            parent,
            sampled,
        }))
    }
}

impl Span {
    /// What `_meta` says counts more than what the headers said.
    pub(crate) fn follow(&mut self, meta: &Meta) {
        if let Some(context) = meta.context() {
            self.trace = context.trace;
            self.parent = Some(context.parent);
            self.sampled = context.sampled;
        }
    }

    /// Its trace, for the audit line.
    pub(crate) fn trace(&self) -> &str {
        &self.trace
    }

    fn context(&self) -> Context {
        Context {
            trace: self.trace.clone(),
            parent: self.id.clone(),
            sampled: self.sampled,
        }
    }

    /// Hands it in, if the trace is recorded.
    pub(crate) fn end(&self, record: &Record, took: Duration) {
        if !self.sampled {
            return;
        }
        if let Ok(span) = serde_json::to_vec(&self.document(record, took)) {
            self.tracer.outbox.send(span);
        }
    }

    /// As OTLP writes it in JSON: ids in hexadecimal digits, large numbers as text. Nobody's name is in it.
    fn document(&self, record: &Record, took: Duration) -> Value {
        let began = record.time.as_nanosecond();
        let ended = began + i128::try_from(took.as_nanos()).unwrap_or_default();
        let method = record.method.as_deref();
        let mut attributes = vec![
            text("kubectl_mcp.decision", record.decision),
            text("kubectl_mcp.reason", record.reason.as_str()),
            json!({"key": "http.response.status_code", "value": {"intValue": record.status.to_string()}}),
        ];
        attributes.extend(method.map(|method| text("mcp.method.name", method)));
        if method == Some("tools/call") {
            attributes.extend(
                record
                    .name
                    .as_deref()
                    .map(|name| text("gen_ai.tool.name", name)),
            );
        }
        let failed = record.status >= 500
            || matches!(
                record.reason,
                Reason::UpstreamUnavailable | Reason::UpstreamInvalid | Reason::RequestTimeout
            );
        let mut span = json!({
            "traceId": self.trace, "spanId": self.id, "kind": 2,
            "name": method.map_or(record.http_method, Method::label),
            "startTimeUnixNano": began.to_string(), "endTimeUnixNano": ended.to_string(),
            "attributes": attributes, "status": {"code": if failed { 2 } else { 0 }},
        });
        if let Some(parent) = &self.parent {
            span["parentSpanId"] = json!(parent);
        }
        span
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_read_as_the_specification_says() {
        let read = Context::read(SENT).unwrap();
        assert_eq!(
            (read.trace.as_str(), read.parent.as_str(), read.sampled),
            (TRACE, "b7ad6b7169203331", true)
        );
        assert!(!Context::read(&SENT.replace("-01", "-00")).unwrap().sampled);
        assert!(Context::read(&format!("{}-later", SENT.replacen("00-", "01-", 1))).is_some());
        for wrong in [
            "",
            "00",
            &SENT.replacen("00-", "ff-", 1),
            &format!("{SENT}-more"),
            &SENT.to_uppercase(),
            &SENT.replace(TRACE, &"0".repeat(32)),
            &SENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            &SENT.replace("-01", "-0g"),
        ] {
            assert_eq!(Context::read(wrong), None, "{wrong}");
        }
    }

    fn told(header: Option<&str>, meta: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(PARENT, HeaderValue::from_str(value).unwrap());
            headers.insert(STATE, HeaderValue::from_static("vendor=1"));
        }
        let meta = Meta {
            parent: meta.map(str::to_owned),
            state: None,
        };
        tell_server(&mut headers, &meta, None);
        assert_eq!(
            headers.contains_key(&STATE),
            headers.contains_key(&PARENT) && meta.parent.is_none(),
            "the state belongs to the parent that is told"
        );
        headers
            .get(&PARENT)
            .map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_server_reads_the_same_context_in_header_and_meta() {
        assert_eq!(told(Some(SENT), None).as_deref(), Some(SENT));
        assert_eq!(told(Some(SENT), Some(OTHER)).as_deref(), Some(OTHER));
        assert_eq!(told(None, Some(OTHER)).as_deref(), Some(OTHER));
        assert_eq!(
            told(None, None),
            None,
            "nothing is made up without a tracer"
        );
        assert_eq!(told(Some("nonsense"), None), None);
    }
}
