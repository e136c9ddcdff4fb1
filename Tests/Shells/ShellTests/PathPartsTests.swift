import System
import Testing

@Suite("a path's folder and name") struct PathPartsTests {
    @Test(
        "are what dirname and basename say, but that a name alone has no folder",
        arguments: [
            ("/etc/rpcwarden/policy.pub", "/etc/rpcwarden", "policy.pub"), ("/keys", "/", "keys"),
            ("a/b", "a", "b"), ("a//b", "a", "b"), ("a/b/", "a", "b"), ("//keys", "/", "keys"), ("keys", nil, "keys"),
            (".", nil, "."), ("/", "/", ""), ("", nil, ""),
        ] as [(String, String?, String)])
    func parts(path: String, folder: String?, name: String) {
        let parts = PathParts(path)
        #expect(parts.folder == folder && parts.name == name, "\(parts)")
    }

    @Test("are those of a state file: a name alone is in the working folder, not in the root")
    func stateFile() {
        #expect(StateFile(path: "policy.pub").path == "./policy.pub")
        #expect(StateFile(path: "/policy.pub").path == "/policy.pub")
        #expect(StateFile(path: "/etc/a/b").path == "/etc/a/b")
    }
}
