import Configuration
import Foundation
import Glibc
import Sidecar
import Testing

@Suite("the files that fleet.yaml names") struct StoreAccessTests {
    private func store(_ folder: TestFolder, showing name: String? = nil, key: String? = nil) -> SidecarSettings.Store {
        var store = SidecarSettings.Store()
        store.endpoints = [SidecarSettings.Endpoint(host: "etcd1", port: 2379)]
        store.caPath = "\(folder.path)/ca.pem"
        store.certificatePath = name.map { "\(folder.path)/\($0).pem" }
        store.keyPath = (key ?? name).map { "\(folder.path)/\($0).key" }
        return store
    }

    private func error(_ store: SidecarSettings.Store, credentials: String? = nil) -> String? {
        do throws(StoreAccessError) {
            _ = try StoreAccess(store, credentials: credentials)
            return nil
        } catch {
            return error.description
        }
    }

    @Test("warn of a common name and of what has expired; a key of another certificate is an error")
    func certificates() throws {
        let folder = try TestFolder()
        let authority = try TestCA(in: folder)
        try authority.sign("good", subject: "/O=nas1")
        try authority.sign("named", subject: "/CN=nas1")
        try authority.sign("old", subject: "/O=nas1", days: -1)
        for name in ["good", "named", "old"] { #expect(chmod("\(folder.path)/\(name).key", 0o600) == 0) }
        #expect(try StoreAccess(store(folder), credentials: nil).warnings.isEmpty)
        #expect(try StoreAccess(store(folder, showing: "good"), credentials: nil).warnings.isEmpty)
        let named = try StoreAccess(store(folder, showing: "named"), credentials: nil).warnings
        #expect(named.map(\.key) == ["certificate"] && named.first?.message.contains("CN") == true)
        let old = try StoreAccess(store(folder, showing: "old"), credentials: nil).warnings
        #expect(old.map(\.message) == ["it has expired"])
        #expect(error(store(folder, showing: "good", key: "old")) != nil)
        #expect(chmod("\(folder.path)/good.key", 0o640) == 0)
        #expect(error(store(folder, showing: "good"))?.contains("can be read by others (mode 0640); chmod 600") == true)
    }

    @Test("a password is in a file of mode 0600, or a credential of systemd's")
    func password() throws {
        let folder = try TestFolder()
        _ = try TestCA(in: folder)
        let path = "\(folder.path)/etcd-password"
        try "secret\n".write(toFile: path, atomically: false, encoding: .utf8)
        var store = store(folder)
        store.user = "nas1"
        #expect(error(store)?.contains("there is no password") == true)
        #expect(chmod(path, 0o644) == 0)
        #expect(try StoreAccess(store, credentials: folder.path).settings.credentials?.password == "secret")
        store.passwordPath = path
        #expect(error(store)?.hasPrefix("etcd.password-file: ") == true)
        #expect(chmod(path, 0o600) == 0)
        #expect(try StoreAccess(store, credentials: nil).settings.credentials?.password == "secret")
        try "\n".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(error(store)?.contains("no password on its one line") == true)
        #expect(mkfifo("\(folder.path)/pipe", 0o600) == 0)
        store.passwordPath = "\(folder.path)/pipe"
        #expect(error(store)?.contains("Invalid argument") == true)
    }
}
