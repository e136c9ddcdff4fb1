import Addresses
import Portmapper

/// The outcome of a call; every call that is no longer under way has one, except duplicates.
public struct CallOutcome: TableKey, Sendable {
    public enum Decision: String, Hashable, Sendable, CaseIterable, BitwiseCopyable {
        case permitted, denied, malformed
        /// Answered in observe mode, although enforce would have denied.
        case observed

        public func hash(into hasher: inout Hasher) { hasher.combine(caseOf: self) }
    }

    public var decision: Decision
    public var reason: DenialReason?
    /// `nil` if the call has no procedure that is served.
    public var procedure: ProcedureName?
    public var transport: Transport

    public init(
        _ decision: Decision, _ procedure: ProcedureName?, over transport: Transport, _ reason: DenialReason? = nil
    ) {
        self.decision = decision
        self.reason = reason
        self.procedure = procedure
        self.transport = transport
    }

    public func combine(into hash: inout TableHash) {
        hash.combine(caseOf: decision)
        if let reason { hash.combine(caseOf: reason) }
        if let procedure { hash.combine(caseOf: procedure) }
        hash.combine(transport.rawValue)
    }
}
