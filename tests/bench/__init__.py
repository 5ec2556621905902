"""tablelog beside other table formats: one run, one machine, turns taken, ratios reported.

    python -m tests.bench [--only W1,W4] [--rows 10_000_000] [--peers deltalake,lance] [--repeat 3] …

    __main__   options, the order of things, the report          workloads/   one module each: what is asked
    peers      one child process per system, spoken to in JSON   systems/     one module each: how a system does it
    child      the other end: runs a verb, says what it cost     rows, dataset, queries   the same data for all

Nothing is measured in the parent. Every system runs in a child of its own, so a system may need another interpreter
(DuckLake does), memory is that of one system alone, and a cold start is a new process. The parent only hands out turns:
A B C, A B C, … so that whatever else the machine does falls on all alike. Wall and processor time are taken in the
child around the call itself, without imports and without the conversation.
"""
