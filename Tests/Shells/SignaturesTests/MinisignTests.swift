import Foundation
import Signatures
import Testing

/// Against the real minisign.
@Suite("Signatures of minisign") struct MinisignTests {
    private final class Keys {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path

        init(password: String? = nil) throws {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let options = password == nil ? ["-G", "-W"] : ["-G"]
            let input = password.map { "\($0)\n\($0)\n" } ?? ""
            try minisign(options + ["-p", "k.pub", "-s", "k.sec"], input: input)
        }

        deinit {
            do { try FileManager.default.removeItem(atPath: folder) } catch {}
        }

        func bytes(_ name: String) throws -> [UInt8] {
            Array(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")))
        }

        func write(_ text: String, _ name: String) throws {
            try text.write(toFile: "\(folder)/\(name)", atomically: false, encoding: .utf8)
        }

        var publicKeys: [PublicKey] { get throws { try PublicKey.keys(inFile: try bytes("k.pub")) } }

        func secretKey(_ password: String? = nil) throws -> SecretKey {
            try SecretKey(file: try bytes("k.sec")) { password.map { Array($0.utf8) } }
        }

        @discardableResult
        func minisign(_ arguments: [String], input: String = "") throws -> String {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/setsid")
            process.arguments = ["-w", "minisign"] + arguments
            process.currentDirectoryURL = URL(fileURLWithPath: folder)
            let (stdin, stdout) = (Pipe(), Pipe())
            process.standardInput = stdin
            process.standardOutput = stdout
            process.standardError = stdout
            try process.run()
            stdin.fileHandleForWriting.write(Data(input.utf8))
            try stdin.fileHandleForWriting.close()
            let output = String(decoding: stdout.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 0, "\(output)")
            return output
        }

        /// The signature that minisign wrote beside the message.
        func signature(of name: String) throws -> Signature {
            let lines = String(decoding: try bytes(name + ".minisig"), as: UTF8.self).split(separator: "\n")
            return Signature(
                text: String(lines[1]), trustedComment: String(lines[2].dropFirst("trusted comment: ".count)),
                commentSignature: String(lines[3]))
        }
    }

    private static let message = "a message\n"

    @Test("are verified, of the message and of its hash", arguments: [["-S"], ["-S", "-l"]])
    func verified(options: [String]) throws {
        let keys = try Keys()
        try keys.write(Self.message, "m")
        try keys.minisign(options + ["-m", "m", "-s", "k.sec", "-t", "so it is"])
        let signature = try keys.signature(of: "m")
        #expect(signature.trustedComment == "so it is")
        let key = try signature.verify(Array(Self.message.utf8)[...], by: try keys.publicKeys)
        #expect(String(decoding: try keys.bytes("k.pub"), as: UTF8.self).contains("\(key)"), "as minisign shows it")
    }

    @Test("of ours are verified by minisign, made by a key with a password too", arguments: [nil, "secret"])
    func signed(password: String?) throws {
        let keys = try Keys(password: password)
        try keys.write(Self.message, "m")
        let signature = try keys.secretKey(password).sign(Array(Self.message.utf8), trustedComment: "so it is")
        try keys.write(
            "untrusted comment: a\n\(signature.text)\ntrusted comment: so it is\n\(signature.commentSignature)\n",
            "m.minisig")
        #expect(try keys.minisign(["-V", "-m", "m", "-p", "k.pub"]).contains("Trusted comment: so it is"))
        try signature.verify(Array(Self.message.utf8)[...], by: try keys.publicKeys)
    }

    @Test("are refused if anything was changed, or the key is another")
    func refused() throws {
        let (keys, others) = (try Keys(), try Keys())
        let message = Array(Self.message.utf8)
        let signature = try keys.secretKey().sign(message, trustedComment: "so it is")
        let publicKeys = try keys.publicKeys
        let id = try #require(publicKeys.first).id
        #expect(throws: Signature.Fault.unknownKey(id)) {
            try signature.verify(message[...], by: try others.publicKeys)
        }
        #expect(throws: Signature.Fault.wrong(id)) { try signature.verify((message + [0])[...], by: publicKeys) }
        var changed = signature
        changed.trustedComment = "so it isn't"
        #expect(throws: Signature.Fault.wrongComment(id)) { try changed.verify(message[...], by: publicKeys) }
        changed = signature
        changed.commentSignature = try others.secretKey().sign(message, trustedComment: "so it is").commentSignature
        #expect(throws: Signature.Fault.wrongComment(id)) { try changed.verify(message[...], by: publicKeys) }
        for text in [
            "", "%%%", String(signature.text.dropLast(4)), signature.text + "AAAA",
            "AAAA" + signature.text.dropFirst(4),
        ] {
            changed = signature
            changed.text = text
            #expect(throws: Signature.Fault.malformed) { try changed.verify(message[...], by: publicKeys) }
        }
        try signature.verify(message[...], by: try others.publicKeys + publicKeys)
    }

    @Test("need the right password, and a key")
    func keys() throws {
        let keys = try Keys(password: "secret")
        #expect(throws: SecretKey.Fault.wrongPassword) { try keys.secretKey("Secret") }
        #expect(throws: SecretKey.Fault.noPassword) { try keys.secretKey() }
        #expect(throws: SecretKey.Fault.noKey) { try SecretKey(file: try keys.bytes("k.pub")) { nil } }
        #expect(throws: SecretKey.Fault.noKey) { try SecretKey(file: []) { nil } }
        let fault = #expect(throws: PublicKey.Fault.self) { try PublicKey.keys(inFile: try keys.bytes("k.sec")) }
        #expect(fault?.line == 2 && fault?.what.hasPrefix("this is a secret key of minisign's") == true)
        #expect(throws: PublicKey.Fault.self) { try PublicKey.keys(inFile: Array("# nothing\n".utf8)) }
        let both = try keys.bytes("k.pub") + Array("\n# the next\n".utf8) + (try Keys().bytes("k.pub"))
        #expect(try PublicKey.keys(inFile: both).count == 2)
    }
}
