import AuditTrail
import Calls

extension IncomingCall {
    public func outcome(_ decision: CallOutcome.Decision, _ reason: DenialReason? = nil) -> CallOutcome {
        switch content {
        case .call(let call): CallOutcome(decision, call.procedureName, over: peer.transport, reason)
        case .undispatchable, .faulty: CallOutcome(decision, nil, over: peer.transport, reason)
        }
    }
}
