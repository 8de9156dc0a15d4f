//! MCP0315 permission-profile: a builtin profile of no known name, a ConfigMap without `key`, or a profile that does not parse.

use api::{PermissionProfile, PermissionProfileType};

use crate::parse::near::{meant, nearest};
use crate::parse::profile::Profile;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0315", "permission-profile", SERVER, Class::Structural)
        .summary("a builtin profile of no known name, type `configmap` without `key`, or a profile that does not parse; a missing one is a warning")
        .needs(&[Need::ConfigMaps]),
    check,
};

/// The profiles that need no ConfigMap.
const BUILTIN: [&str; 2] = ["none", "network"];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let Some(profile) = &spec.permission_profile else { return };
    match profile.type_ {
        PermissionProfileType::Builtin => builtin(profile, report),
        PermissionProfileType::ConfigMap => match &profile.key {
            None => {
                report
                    .at("spec.permissionProfile.key")
                    .must("must be given with type: configmap")
                    .hint("key: profile.json");
            }
            Some(key) => from_config_map(context, &profile.name, key, report),
        },
    }
}

fn builtin(profile: &PermissionProfile, report: &mut Report) {
    if !BUILTIN.contains(&profile.name.as_str()) {
        let near = nearest(&profile.name, BUILTIN).unwrap_or_default();
        report
            .at("spec.permissionProfile.name")
            .given(&profile.name)
            .must("must be none or network with type: builtin")
            .hint(format!("name: {near}, or type: configmap"));
    }
    if let Some(key) = &profile.key {
        report
            .at("spec.permissionProfile.key")
            .given(key)
            .must("has no effect with type: builtin")
            .hint("take key away, or write type: configmap")
            .warning();
    }
}

fn from_config_map(context: &Context<'_>, name: &str, key: &str, report: &mut Report) {
    let Some(maps) = context.config_maps(report) else { return };
    let Some(data) = maps.get(name) else {
        let draft = report.at("spec.permissionProfile.name").given(name);
        draft.must(format!("is no ConfigMap of namespace '{}'", context.namespace)).warning();
        match meant(name, maps.keys().map(String::as_str)) {
            Some(near) => draft.hint(format!("name: {near}")),
            None => draft.hint(format!("kubectl create configmap {name} --from-file={key} -n {}", context.namespace)),
        };
        return;
    };
    let Some(text) = data.get(key) else {
        let draft = report.at("spec.permissionProfile.key").given(key).judging(name);
        draft.must(format!("is no key of ConfigMap '{name}'")).warning();
        if let Some(near) = meant(key, data.keys().map(String::as_str)) {
            draft.hint(format!("key: {near}"));
        }
        return;
    };
    if let Err(fault) = Profile::parse(text) {
        report
            .at("spec.permissionProfile")
            .given(format!("{name}/{key}"))
            .judging(text)
            .must(fault.requirement())
            .hint("{\"network\": {\"outbound\": {\"allow_host\": [\"api.example.com\"], \"allow_port\": [443]}}}");
    }
}
