//! `server call`: a call as a client would make it, as the caller; and how a caller reaches a server.

use api::{AuthMode, MCPServer, names};
use common::cluster::Cluster;
use common::declared::undeclared_hint;
use common::output::{OutputArgs, print_value};
use common::tokens::{StoredToken, TokenStore};
use common::{Error, Exit, Printer, Result};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::uri::{Parts, PathAndQuery, Uri};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::arguments::{self, Pair};
use crate::content::lines;
use crate::mcp::{Endpoint, McpClient};

/// Arguments of `call`.
#[derive(clap::Args)]
pub(crate) struct CallArgs {
    /// The server
    server: String,
    /// The tool
    tool: String,
    /// Arguments: key=value, or key:=JSON
    #[arg(value_name = "KEY=VALUE", value_parser = arguments::parse_pair)]
    pairs: Vec<Pair>,
    /// Arguments as one JSON object
    #[arg(long = "args", value_name = "JSON", value_parser = arguments::parse_object)]
    object: Option<Map<String, Value>>,
    #[command(flatten)]
    way: WayArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How the server is reached.
#[derive(clap::Args)]
pub(crate) struct WayArgs {
    /// Call this URL instead of going through the API server
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<Uri>,
}

/// `server call`.
pub(crate) async fn call(
    cluster: &Cluster,
    args: &CallArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let what = format!(
        "cannot call tool '{}' of server '{}'",
        args.tool, args.server
    );
    let endpoint = endpoint(cluster, &args.server, &args.way).await?;
    let mut client = McpClient::connect(endpoint, what, printer).await?;
    let outcome = call_tool(&mut client, args, printer).await;
    client.close().await;
    let result = match outcome {
        Ok(result) => result,
        Err(error) => return Err(explained(cluster, args, error).await),
    };
    if args.output.output.is_table() {
        for text in lines(&result) {
            printer.line(text);
        }
    } else {
        print_value(printer, args.output.output, &result)?;
    }
    let failed = result
        .get("isError")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    Ok(if failed { Exit::Found } else { Exit::Ok })
}

/// A refusal with a better hint, when the tool is one that the server does not declare.
async fn explained(cluster: &Cluster, args: &CallArgs, error: Error) -> Error {
    if error.exit() != Exit::Found || args.way.url.is_some() {
        return error;
    }
    let Ok(server) = cluster.api::<MCPServer>().get(&args.server).await else {
        return error;
    };
    match undeclared_hint(&server, &args.tool) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

async fn call_tool(
    client: &mut McpClient,
    args: &CallArgs,
    printer: &mut Printer,
) -> Result<Value> {
    let schema = if arguments::needs_schema(&args.pairs) {
        let tools = client.list("tools/list", "tools", printer).await?;
        tools
            .into_iter()
            .find(|tool| tool.get("name").and_then(Value::as_str) == Some(&args.tool))
    } else {
        None
    };
    let schema = schema.as_ref().and_then(|tool| tool.get("inputSchema"));
    let arguments = arguments::build(args.object.clone().unwrap_or_default(), &args.pairs, schema)?;
    client
        .request(
            "tools/call",
            json!({"name": args.tool, "arguments": arguments}),
            printer,
        )
        .await
}

/// Where the server is and with which token.
pub(crate) async fn endpoint(cluster: &Cluster, server: &str, way: &WayArgs) -> Result<Endpoint> {
    let named = format!("{server}{}", cluster.flags());
    if let Some(url) = &way.url {
        // The server need not be one of this cluster: it is asked with what there is.
        let token = TokenStore::open(cluster)?
            .read(&cluster.namespace, server)?
            .map(|stored| {
                if is_over(&stored) {
                    return Err(expired(cluster, server, &stored));
                }
                Ok(stored.token)
            })
            .transpose()?;
        let client = direct(url)?;
        let path = url
            .path_and_query()
            .map_or("/", PathAndQuery::as_str)
            .to_owned();
        let token = token
            .map(|token| header(AUTHORIZATION, &format!("Bearer {token}")))
            .transpose()?;
        return Ok(Endpoint {
            server: named,
            client,
            path,
            token,
        });
    }
    // The names go into a path: only what Kubernetes takes as a name may stand there.
    for name in [server, cluster.namespace.as_str()] {
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(Error::usage(format!(
                "'{name}' must be lower-case letters, digits and dashes"
            )));
        }
    }
    let path = format!(
        "/api/v1/namespaces/{}/services/{server}:http/proxy/mcp",
        cluster.namespace
    );
    let name = HeaderName::from_static(names::SESSION_TOKEN_HEADER);
    let token = token(cluster, server)
        .await?
        .map(|token| header(name, &token))
        .transpose()?;
    Ok(Endpoint {
        server: named,
        client: cluster.client.clone(),
        path,
        token,
    })
}

fn header(name: HeaderName, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| Error::failed("the stored token is no token"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The caller's token for this server; none for a server that asks for none.
async fn token(cluster: &Cluster, server: &str) -> Result<Option<String>> {
    let stored = TokenStore::open(cluster)?.read(&cluster.namespace, server)?;
    let over = match stored {
        Some(stored) if is_over(&stored) => Some(stored),
        Some(stored) => return Ok(Some(stored.token)),
        None => None,
    };
    // Whether the server needs one is only a question of what to say: the gateway decides.
    match cluster.api::<MCPServer>().get(server).await {
        Ok(found)
            if found.spec.auth.as_ref().and_then(|auth| auth.mode) == Some(AuthMode::None) =>
        {
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::Api {
            what: format!("cannot call server '{server}'"),
            message: status.message,
            code: 404,
            hint: Some(format!("kubectl mcp server list{}", cluster.flags())),
        }),
        Ok(_) | Err(_) => Err(match over {
            Some(stored) => expired(cluster, server, &stored),
            None => no_session(
                cluster,
                server,
                format!(
                    "you have no session for server '{server}' in namespace '{}'",
                    cluster.namespace
                ),
            ),
        }),
    }
}

fn is_over(stored: &StoredToken) -> bool {
    stored.expires_at <= Timestamp::now()
}

fn expired(cluster: &Cluster, server: &str, stored: &StoredToken) -> Error {
    let message = format!(
        "the session expired at {}: {} for server '{server}' in namespace '{}'",
        stored.expires_at, stored.session, cluster.namespace
    );
    no_session(cluster, server, message)
}

fn no_session(cluster: &Cluster, server: &str, message: String) -> Error {
    Error::failed(message).with_hint(format!(
        "kubectl mcp session create --server {server}{}",
        cluster.flags()
    ))
}

/// A client for the host of a URL. It carries nothing of the kubeconfig: that login is for the cluster alone.
fn direct(url: &Uri) -> Result<kube::Client> {
    let mut parts = Parts::default();
    parts.scheme = url.scheme().cloned();
    parts.authority = url.authority().cloned();
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    let host = Uri::from_parts(parts)
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        .ok_or_else(|| Error::usage(format!("'{url}' must begin with http:// or https://")))?;
    let mut config = kube::Config::new(host);
    config.default_retry = false;
    kube::Client::try_from(config)
        .map_err(|error| Error::failed(format!("cannot call {url}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_that_is_none_is_a_usage_error() {
        let error = direct(&Uri::from_static("localhost:80"))
            .err()
            .map(|error| error.render())
            .unwrap_or_default();
        assert!(error.contains("must begin with http"), "{error}");
    }
}
