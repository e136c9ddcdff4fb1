import Configuration
import Testing

@testable import PolicyFile

@Suite("fleet.yaml") struct SidecarConfigurationTests {
    private func parsed(_ text: String) -> ParsedSidecarConfiguration {
        ParsedSidecarConfiguration(SourceFile(name: "f.yaml", text: text))
    }

    @Test(
        "what is wrong is told with its place, its value, and a remedy",
        arguments: [
            (
                "etcd: {endpoints: [\"http://etcd1:2379\"]}",
                "f.yaml:1:20: error: endpoints: \"http://etcd1:2379\" is not encrypted: passwords and grants would be"
                    + " readable on the way; give etcd a certificate, and write https://etcd1:2379"
            ),
            (
                "fleet: lab",
                "f.yaml:1:1: error: etcd: \"endpoints\" is missing; add endpoints: [\"https://etcd1:2379\"]"
            ),
            (
                "# nothing yet\n",
                "f.yaml:1:1: error: etcd: \"endpoints\" is missing; add endpoints: [\"https://etcd1:2379\"]"
            ),
            (
                "etcd: {endpoint: [\"https://a\"]}",
                "f.yaml:1:8: error: unknown key \"endpoint\"; did you mean \"endpoints\"?"
            ),
            (
                "etcd: {endpoints: [\"etcd1\"]}",
                "f.yaml:1:20: error: endpoints: \"etcd1\" is no address of etcd; write https://etcd1:2379"
            ),
            (
                "etcd: {endpoints: [\"https://a:0\"]}",
                "f.yaml:1:20: error: endpoints: \"0\" is no port; write https://etcd1:2379"
            ),
            (
                "etcd: {endpoints: [\"https://[::1\"]}",
                "f.yaml:1:20: error: endpoints: \"https://[::1\" names no host; write https://etcd1:2379"
            ),
            (
                "etcd: {endpoints: [\"https://a\"], certificate: /c.pem}",
                "f.yaml:1:47: error: etcd: \"certificate\" needs \"key\"; add key"
            ),
            (
                "etcd: {endpoints: [\"https://a\"], password-file: /p}",
                "f.yaml:1:49: error: etcd: \"password-file\" needs \"user\"; add user"
            ),
            (
                "node: a/b\netcd: {endpoints: [\"https://a\"]}",
                "f.yaml:1:7: error: node: \"a/b\" is not a name of a node; use letters, digits, _, - and ., a letter,"
                    + " a digit or _ first, at most 64"
            ),
            (
                "pair: nas\netcd: {endpoints: [\"https://a\"]}",
                "f.yaml:1:1: error: \"pair\" is a key of rpcwarden.yaml; the daemon tells its sidecar"
            ),
        ])
    func mistakes(text: String, expected: String) {
        #expect(parsed(text).diagnostics.map(\.description).contains(expected))
    }

    @Test("the whole of it is read, and what is left out has its default")
    func reads() {
        let text = """
            fleet: lab
            node: nas1
            etcd:
              endpoints: ["https://etcd1:2379", "https://[2001:db8::1]", "https://192.0.2.1:4001/"]
              ca: /ca.pem
              certificate: null
              key: null
              user: nas1
              password-file: /p
            socket: /run/s
            control: /run/c
            state: /var/s
            """
        let whole = parsed(text)
        #expect(whole.diagnostics == [])
        let settings = whole.settings
        #expect(settings.fleet == "lab" && settings.node == "nas1")
        #expect(
            settings.store.endpoints.map(\.description) == [
                "https://etcd1:2379", "https://[2001:db8::1]:2379", "https://192.0.2.1:4001",
            ])
        #expect(settings.store.user == "nas1" && settings.store.passwordPath == "/p")
        #expect([settings.socketPath, settings.controlPath, settings.statePath] == ["/run/s", "/run/c", "/var/s"])
        let least = parsed("etcd: {endpoints: [\"https://a\"]}").settings
        #expect(least.socketPath == "/run/rpcwarden/fleet.sock" && least.node == nil && least.fleet == "default")
    }

    @Test("a file that is missing is told with its path")
    func missing() {
        let told = ParsedSidecarConfiguration(path: "/nonexistent/fleet.yaml").diagnostics.map(\.description)
        #expect(
            told == [
                "/nonexistent/fleet.yaml:1:1: error: can't be read: No such file or directory; name another with"
                    + " --config, or see rpcwarden-fleet.yaml(5)"
            ])
    }
}
