/** Where log lines go. */
export type LogSink = (level: "debug" | "info" | "warn" | "error", message: string) => void;
