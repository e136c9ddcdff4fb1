/// Lets a process that has one thread do other work while it reads much: every so many steps there is a pause.
final class Pauses {
    /// Some tenths of a millisecond between two pauses.
    private static let steps = 256

    /// Between two parts of the work.
    let pause: () -> Void
    private var count = 0

    init(_ pause: @escaping () -> Void = {}) { self.pause = pause }

    func step() {
        count += 1
        if count.isMultiple(of: Self.steps) { pause() }
    }
}
