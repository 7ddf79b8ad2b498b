from lit_compacter.runtime.signals import stoppable

with stoppable():  # importing the rest takes seconds, in which a run can be told to stop too
    from lit_compacter.cli.main import main

if __name__ == "__main__":
    main()
