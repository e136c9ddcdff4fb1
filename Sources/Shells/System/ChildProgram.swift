import Glibc

/// Starts other programs.
public enum ChildProgram {
    /// Starts the program; the caller waits for its end.
    ///
    /// - Parameters:
    ///   - program: its path, or a name that is searched for in `PATH`.
    ///   - environment: replaces this process's environment.
    ///   - input: the path of a file; `nil`: this process's own input.
    ///   - output: a descriptor for the program's output; `errors` likewise, `nil`: this process's own.
    public static func start(
        _ program: String, words: [String], environment: [String]? = nil, input: String? = nil, output: Int32,
        errors: Int32? = nil
    ) throws(Errno) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input { posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0) }
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        if let errors { posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO) }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = (environment ?? []).map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var child: pid_t = 0
        let code =
            environment == nil
            ? posix_spawnp(&child, program, &actions, nil, &arguments, environ)
            : posix_spawnp(&child, program, &actions, nil, &arguments, &variables)
        guard code == 0 else { throw Errno(code) }
        return child
    }
}
