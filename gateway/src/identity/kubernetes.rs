//! Tokens of service accounts, made by the API server for this server alone (`kubectl create token --audience`, or a
//! projected volume). Pure.

use access::Identity;
use api::ServiceAccountRef;

use super::jwt::{Claims, Error};

/// The account that the claims name, with the groups that the API server gives it.
pub fn identity(claims: &Claims) -> Result<Identity, Error> {
    let account = claims
        .text("sub")?
        .and_then(account)
        .ok_or(Error::Identity)?;
    let groups = [
        "system:authenticated".to_owned(),
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{}", account.namespace),
    ];
    Ok(Identity {
        service_account: Some(account),
        groups: groups.to_vec(),
        ..Identity::default()
    })
}

fn account(user: &str) -> Option<ServiceAccountRef> {
    let (namespace, name) = user
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    let whole = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
    whole.then(|| ServiceAccountRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_account_is_one() {
        let found = account("system:serviceaccount:team-a:bot").unwrap();
        assert_eq!(
            (found.namespace.as_str(), found.name.as_str()),
            ("team-a", "bot")
        );
        for user in [
            "",
            "alice",
            "system:serviceaccount:team-a",
            "system:serviceaccount::bot",
            "system:serviceaccount:team-a:",
            "system:serviceaccount:team-a:bot:x",
            "system:node:n1",
        ] {
            assert!(account(user).is_none(), "{user}");
        }
    }
}
