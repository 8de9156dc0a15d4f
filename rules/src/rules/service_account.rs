//! MCP0318 service-account: `serviceAccountName` is outside `workload.allowedServiceAccounts`; or another server uses it: a warning.

use api::MCPPolicySpec;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0318", "service-account", SERVER, Class::Policy)
        .summary("`serviceAccountName` is outside `workload.allowedServiceAccounts`; or another server uses it: a warning")
        .needs(&[Need::Policies, Need::Servers])
        .mentioned_by(lists),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let Some(account) = &spec.service_account_name else { return };
    let Some(policies) = context.policies(report) else { return };
    let refusing = policies.first(|spec| {
        let entries = spec.workload.as_ref()?.allowed_service_accounts.as_ref()?;
        (!entries.contains(account)).then_some(entries)
    });
    if let Some((policy, entries)) = refusing {
        let draft = report.at("spec.serviceAccountName").given(account);
        draft.must(format!("must be a service account that MCPPolicy '{policy}' allows"));
        match entries.first() {
            Some(entry) => draft.hint(format!("serviceAccountName: {entry}")),
            None => draft.hint("take serviceAccountName away: the server gets an account of its own"),
        };
        return;
    }
    if policies.any(lists) {
        return;
    }
    let Some(mut others) = context.other_servers(report) else { return };
    let sharing = others
        .find(|other| other.namespace == context.namespace && other.service_account.as_deref() == Some(account));
    if let Some(other) = sharing {
        report
            .at("spec.serviceAccountName")
            .given(account)
            .must(format!("is also the account of MCPServer '{}': each can read the other's access bundle", other.name))
            .hint("take serviceAccountName away: the server gets an account of its own")
            .warning();
    }
}

fn lists(spec: &MCPPolicySpec) -> bool {
    spec.workload.as_ref().is_some_and(|workload| workload.allowed_service_accounts.is_some())
}
