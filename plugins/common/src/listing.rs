//! `list` and `get` of a kind, as kubectl does them. What stands in the columns is the plugin's own.

use std::fmt::Debug;

use jiff::Timestamp;
use kube::Resource;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api_error::During as _;
use crate::output::{Output, print_list, print_object, tree};
use crate::{Cluster, Exit, Printer, Result};

/// A kind that is listed.
pub struct Listing<K> {
    /// The word for one.
    pub one: &'static str,
    /// The word for several.
    pub many: &'static str,
    /// The table.
    pub table: fn(&[K], Columns) -> String,
}

/// What the columns depend on.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// More of them: `-o wide`.
    pub wide: bool,
    /// The namespace first: `-A`.
    pub namespaces: bool,
    /// For ages.
    pub now: Timestamp,
}

impl<K> Listing<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    /// Prints those that carry the labels of `selector` and are `wanted`.
    pub async fn list(
        &self,
        cluster: &Cluster,
        selector: Option<&str>,
        wanted: impl Fn(&K) -> bool,
        output: Output,
        printer: &mut Printer,
    ) -> Result<Exit> {
        let params = ListParams {
            label_selector: selector.map(str::to_owned),
            ..ListParams::default()
        };
        let found = cluster
            .list_api::<K>()
            .list(&params)
            .await
            .during(format!("cannot list {}", self.many))?;
        let found: Vec<K> = found.items.into_iter().filter(wanted).collect();
        if found.is_empty() && output.is_table() {
            let place = if cluster.all_namespaces {
                String::new()
            } else {
                format!(" in namespace '{}'", cluster.namespace)
            };
            printer.note(format_args!("No {} found{place}.", self.many));
            return Ok(Exit::Ok);
        }
        self.print(cluster, output, &found, printer)?;
        Ok(Exit::Ok)
    }

    /// Prints those of these names; one alone is printed as itself and not as a list.
    pub async fn get(
        &self,
        cluster: &Cluster,
        names: &[String],
        output: Output,
        printer: &mut Printer,
    ) -> Result<Exit> {
        let mut found = Vec::new();
        for name in names {
            let object = cluster
                .api::<K>()
                .get(name)
                .await
                .during(format!("cannot get {} '{name}'", self.one))?;
            found.push(object);
        }
        match (output, found.as_slice()) {
            (Output::Json | Output::Yaml | Output::Name, [only]) => {
                print_object(printer, output, &tree(only))?;
            }
            (output, _) => self.print(cluster, output, &found, printer)?,
        }
        Ok(Exit::Ok)
    }

    fn print(
        &self,
        cluster: &Cluster,
        output: Output,
        found: &[K],
        printer: &mut Printer,
    ) -> Result<()> {
        if output.is_table() {
            let columns = Columns {
                wide: output == Output::Wide,
                namespaces: cluster.all_namespaces,
                now: Timestamp::now(),
            };
            printer.line((self.table)(found, columns));
            return Ok(());
        }
        print_list(printer, output, &found.iter().map(tree).collect::<Vec<_>>())
    }
}
