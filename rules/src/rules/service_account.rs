//! MCP0318 service-account: the account is outside `workload.allowedServiceAccounts`, or another server's.

use api::MCPPolicySpec;
use api::names::{ACCOUNT_SUFFIX, gateway_account};

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0318", "service-account", SERVER, Class::PolicyOn)
        .summary(
            "`serviceAccountName` is outside `workload.allowedServiceAccounts`; or, where no policy lists it, the account is \
             another server's",
        )
        .needs(&[Need::Policies, Need::Servers])
        .mentioned_by(lists),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let named = spec.service_account_name.as_deref();
    let Some(policies) = context.policies(report) else { return };
    let own = gateway_account(context.name);
    let account = named.unwrap_or(&own);
    let refusing = policies.first(|spec| {
        let entries = spec.workload.as_ref()?.allowed_service_accounts.as_ref()?;
        (!entries.iter().any(|entry| entry == account)).then_some(entries)
    });
    if let (Some(_), Some((policy, entries))) = (named, refusing) {
        let draft = report.at("spec.serviceAccountName").given(account);
        draft.must(format!("must be a service account that MCPPolicy '{policy}' allows"));
        match entries.first() {
            Some(entry) => draft.hint(format!("serviceAccountName: {entry}")),
            None => draft.hint("take serviceAccountName away: the server gets an account of its own"),
        };
        return;
    }
    if refusing.is_none() && policies.any(lists) {
        return;
    }
    shared(context, account, named.is_some(), report);
}

/// Refuses an account that another server of the namespace names, or that the operator makes for another server. Which
/// of the two servers said so first makes no difference.
fn shared(context: &Context<'_>, account: &str, named: bool, report: &mut Report) {
    let Some(mut others) = context.other_servers(report) else { return };
    // Its name alone says whose account the operator's is: a namespace may have thousands of servers.
    let by_name = account.strip_suffix(ACCOUNT_SUFFIX).filter(|name| *name != context.name);
    let by_name = by_name.and_then(|name| context.facts.server(context.namespace, name));
    let sharing = by_name.or_else(|| others.find(|other| other.service_account.as_deref() == Some(account)));
    let Some(other) = sharing else { return };
    let draft = if named {
        report.at("spec.serviceAccountName").given(account)
    } else {
        report.at("metadata.name").given(context.name)
    };
    draft.judging(account).judging(&other.name).must(format!(
        "must not share service account '{account}' with MCPServer '{}': each could read what the other's gateway reads, \
         unless workload.allowedServiceAccounts of an MCPPolicy lists the account",
        other.name
    ));
    if named {
        draft.hint("take serviceAccountName away: the server gets an account of its own");
    } else {
        draft.hint("choose another name, or an account for this server by serviceAccountName");
    }
}

fn lists(spec: &MCPPolicySpec) -> bool {
    spec.workload.as_ref().is_some_and(|workload| workload.allowed_service_accounts.is_some())
}
