//! The deletion of one object of the caller's namespace, with kubectl's dry runs.

use std::fmt::Debug;

use kube::Resource;
use kube::api::DeleteParams;
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use crate::api_error::During as _;
use crate::output::DryRun;
use crate::{Cluster, Result};

/// Deletes an object; a dry run of the client only looks whether it is there. `word` is what people call its kind.
pub async fn delete_one<K>(cluster: &Cluster, word: &str, name: &str, dry_run: DryRun) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let api = cluster.api::<K>();
    let during = format!("cannot delete {word} '{name}'");
    if dry_run == DryRun::Client {
        api.get(name).await.during(during)?;
    } else {
        let params = DeleteParams {
            dry_run: dry_run == DryRun::Server,
            ..DeleteParams::default()
        };
        api.delete(name, &params).await.during(during)?;
    }
    Ok(())
}
