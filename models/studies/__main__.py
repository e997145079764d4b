"""`python -m stoic.models.studies NAME`: train, measure, judge; JSON, figures and a page."""

from .command import main

if __name__ == "__main__":
    main()
