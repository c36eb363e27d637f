//! `highwater.memory`: for what memory is held, how much, and how much may be; the same for `/metrics`.

use tokio::time::timeout;

use super::Engine;
use crate::config::STATUS_PATIENCE;
use crate::metrics::set;
use crate::runtime::MemoryStatus;
use crate::spill::Holder;

impl Engine {
    /// For what memory is held.
    pub(super) async fn memory(&self) -> Vec<MemoryStatus> {
        let mut all = self.runtime.holders();
        if !all.iter().any(|held| held.holder == Holder::State.name())
            && let Ok(Ok(status)) = timeout(STATUS_PATIENCE, self.runtime.status()).await
        {
            let memory = status.operators.iter().map(|operator| operator.state_bytes).sum();
            all.insert(0, MemoryStatus { holder: Holder::State.name(), memory, disk: Some(0), limit: None });
        }
        let (memory, disk, limit) = self.executor.held();
        all.push(MemoryStatus { holder: "queries", memory, disk: Some(disk), limit });
        if let Some(memory) = resident() {
            let limit = self.config.memory_limit.map(|limit| limit as u64);
            all.push(MemoryStatus { holder: "process", memory, disk: None, limit });
        }
        all
    }

    /// Says so on `/metrics`.
    pub async fn measure_memory(&self) {
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for MemoryStatus { holder, memory, disk, limit } in self.memory().await {
            set(&self.metrics.memory_bytes, "holder", holder, number(memory));
            for (gauges, bytes) in [(&self.metrics.memory_disk_bytes, disk), (&self.metrics.memory_limit_bytes, limit)]
            {
                if let Some(bytes) = bytes {
                    set(gauges, "holder", holder, number(bytes));
                }
            }
        }
    }
}

/// Bytes of the process that are in memory, where the system says so.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
