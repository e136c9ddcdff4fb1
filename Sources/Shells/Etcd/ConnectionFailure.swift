import NIOCore
import NIOPosix
import NIOSSL
import System

/// Why a connection failed or broke, in the system's words or the library's.
func connectionFailure(_ error: any Error) -> String {
    switch error {
    case let error as IOError: Errno(error.errnoCode).description
    case ChannelError.connectTimeout: "no connection within the time"
    case ChannelError.eof, ChannelError.alreadyClosed, NIOSSLError.uncleanShutdown: "the connection was closed"
    case let error as NIOConnectionError: connectionFailure(error)
    case let error as NIOSSLExtraError where error == .failedToValidateHostname: "TLS: its certificate has another name"
    case NIOSSLError.handshakeFailed(let failure): tlsFailure("\(failure)")
    case let error as BoringSSLError: tlsFailure("\(error)")
    case let error as EtcdError: "\(error)"
    case _: String("\(error)".prefix(EtcdLimits.reasonCharactersMax))
    }
}

private func connectionFailure(_ error: NIOConnectionError) -> String {
    if let failure = error.connectionErrors.first { return connectionFailure(failure.error) }
    return error.dnsAError ?? error.dnsAAAAError == nil ? "no address" : "the name can't be resolved"
}

/// Out of `…SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED at …`.
private func tlsFailure(_ text: String) -> String {
    // The library doesn't pass on which it is.
    if text.contains("CERTIFICATE_VERIFY_FAILED") {
        return "TLS: its certificate is of another CA, or isn't valid now"
    }
    guard let marker = text.firstRange(of: "OPENSSL_internal:") else {
        return "TLS: \(text.prefix(EtcdLimits.reasonCharactersMax))"
    }
    return "TLS: \(text[marker.upperBound...].prefix { $0 != " " && $0 != "]" })"
}
