//! The secrets of operators' telephones, as `sip` asks for them.

use crate::{
    domain::ha1::Ha1,
    sip::{Away, Secrets},
    users::Seats,
};

#[async_trait::async_trait]
impl Secrets for Seats {
    async fn ha1(&self, extension: &str) -> Result<Option<Ha1>, Away> {
        // The inherent one.
        Self::ha1(self, extension).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a telephone's secret cannot be looked up");
            Away
        })
    }
}
