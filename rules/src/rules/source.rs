//! MCP0901 source: a catalogue's source is not the one that `type` names, or must not be read.

use api::{GitSource, RegistrySource, RegistrySourceType};

use crate::parse::url::{OutsideUrl, UrlFault, meant, quotable};

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0901", "source", &[Kind::Registry], Class::Structural).summary(
        "not exactly the source that `type` names; more than one of `branch`, `tag` and `commit`; a URL that is not http(s) \
         or leads to a private or metadata address",
    ),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.registry() else { return };
    let source = &spec.source;
    one_source(source, report);
    if let Some(url) = &source.url {
        address("spec.source.url.url", &url.url, report);
    }
    if let Some(git) = &source.git {
        address("spec.source.git.repository", &git.repository, report);
        revision(git, report);
        file(git, report);
    }
}

fn one_source(source: &RegistrySource, report: &mut Report) {
    let named = source.type_;
    let sources = [
        (RegistrySourceType::ConfigMap, source.configmap.is_some(), "configmap: {name: NAME}"),
        (RegistrySourceType::Url, source.url.is_some(), "url: {url: \"https://...\"}"),
        (RegistrySourceType::Git, source.git.is_some(), "git: {repository: \"https://...\"}"),
        (RegistrySourceType::Cluster, source.cluster.is_some(), "cluster: {}"),
    ];
    for (sort, given, example) in sources {
        let field = format!("spec.source.{sort}");
        if given && sort != named {
            report
                .at(field)
                .judging(named.as_str())
                .must(format!("must not be set: the type of the source is {named}"))
                .hint(format!("take it away, or type: {sort}"));
        } else if !given && sort == named && sort != RegistrySourceType::Cluster {
            report
                .at(field)
                .judging(named.as_str())
                .must(format!("must be given: the type of the source is {named}"))
                .hint(example);
        }
    }
}

fn address(field: &str, text: &str, report: &mut Report) {
    let Err(fault) = OutsideUrl::parse(text).and_then(OutsideUrl::outside) else { return };
    let over_https = over_https(text);
    // The user git is no secret; what stands before another '@' may be.
    let given = match text.split_once("git@").filter(|_| over_https.is_some()) {
        Some((scheme, rest)) => format!("{scheme}git@{}", quotable(rest)),
        None => quotable(text),
    };
    let draft = report.at(field).given(given).judging(text);
    draft.must(match fault {
        UrlFault::NoScheme | UrlFault::Scheme => "must begin with https:// or http://",
        _ => fault.requirement(),
    });
    if let Some(meant) = over_https.or_else(|| meant(text)).filter(|meant| is_outside(meant)) {
        draft.hint(format!("did you mean '{}'?", quotable(&meant)));
    }
}

fn is_outside(text: &str) -> bool {
    OutsideUrl::parse(text).and_then(OutsideUrl::outside).is_ok()
}

/// The address over https of a repository that was named for ssh: `git@host:path` or `ssh://git@host/path`.
fn over_https(text: &str) -> Option<String> {
    let rest = match text.strip_prefix("ssh://git@") {
        Some(rest) => rest.to_owned(),
        None => text.strip_prefix("git@")?.replacen(':', "/", 1),
    };
    Some(format!("https://{rest}"))
}

fn revision(git: &GitSource, report: &mut Report) {
    let given: Vec<&str> = [("branch", &git.branch), ("tag", &git.tag), ("commit", &git.commit)]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|_| name))
        .collect();
    if let [first, second, ..] = given.as_slice() {
        report
            .at(format!("spec.source.git.{second}"))
            .judging(&given.join(","))
            .must(format!("must not be set together with {first}: at most one of branch, tag and commit"))
            .hint(format!("take {first} or {second} away"));
    }
}

/// The file is read out of a checkout, and nothing outside of it.
fn file(git: &GitSource, report: &mut Report) {
    let Some(path) = &git.path else { return };
    let plain = !path.starts_with('/')
        && !path.contains(['\\', '\0'])
        && path.split('/').all(|segment| !matches!(segment, "" | "." | ".." | ".git"));
    if !plain {
        report
            .at("spec.source.git.path")
            .given(path)
            .must("must be the path of a file inside the repository, without '/' in front, '.', '..' and '\\'")
            .hint("path: registry.json");
    }
}
